-- The second factor. The secret is sealed; `totp_step` is the last step whose code was accepted, so that each is good once.
alter table users add column totp_secret text;
alter table users add column totp_step bigint not null default 0;
alter table users add column mail_on_signin boolean not null default true;
-- Set when the account is closed; nothing that tells who it was is left then.
alter table users add column deleted_at timestamptz;
create index users_by_role on users (role);

create table backup_codes (
    user_id uuid not null references users (id),
    hash text not null,
    used_at timestamptz,
    primary key (user_id, hash)
);

-- What is throttled together with the session's address.
alter table sessions add column network text;

-- Append-only. What was done to accounts, by whom and from where.
create table account_events (
    id uuid primary key,
    at timestamptz not null,
    kind text not null,
    actor text not null,
    user_id uuid references users (id),
    session_id uuid,
    address text,
    user_agent text,
    detail jsonb not null
);
create index account_events_by_user on account_events (user_id, id);
create index account_events_by_actor on account_events (actor, id);

-- Keys that sign tokens (EdDSA). The private part is sealed.
create table signing_keys (
    id text primary key,
    public_key text not null,
    private_key text not null,
    created_at timestamptz not null,
    active_from timestamptz not null,
    retired_at timestamptz
);
