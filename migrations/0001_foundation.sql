-- Accounts ------------------------------------------------------------------------------------------------------------
create table users (
    id uuid primary key,
    email text not null,
    email_key text not null unique,
    username text not null,
    username_key text not null unique,
    password_hash text not null,
    full_name text not null,
    role text not null,
    organization text,
    student_id text,
    employee_id text,
    email_verified boolean not null,
    mfa_enabled boolean not null,
    disabled boolean not null,
    mail_on_finish boolean not null,
    mail_on_failure boolean not null,
    created_at timestamptz not null
);

-- `counter` numbers the refresh tokens of a session: only the newest one is good.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users (id),
    counter bigint not null,
    rotated_at timestamptz not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    address text,
    user_agent text,
    revoked_at timestamptz,
    revoke_reason text
);
create index sessions_by_user on sessions (user_id);

-- Single-use tokens sent by mail; only their SHA-256 is kept.
create table mail_tokens (
    hash text primary key,
    user_id uuid not null references users (id),
    purpose text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
create index mail_tokens_by_expiry on mail_tokens (expires_at);

-- Credits -------------------------------------------------------------------------------------------------------------
create table trials (
    user_id uuid primary key references users (id),
    started_at timestamptz not null,
    ends_at timestamptz not null,
    credits_total bigint not null,
    credits bigint not null check (credits >= 0)
);
create index trials_by_end on trials (ends_at);

create table subscriptions (
    user_id uuid primary key references users (id),
    tier text not null,
    status text not null,
    current_period_start timestamptz not null,
    current_period_end timestamptz not null,
    workflows_used bigint not null check (workflows_used >= 0)
);

-- Append-only. The sum of a user's entries is the trial's balance; (reason, reference) makes each entry happen once.
create table ledger (
    id uuid primary key,
    user_id uuid not null references users (id),
    amount bigint not null,
    reason text not null,
    reference uuid not null,
    created_at timestamptz not null,
    unique (reason, reference)
);
create index ledger_by_user on ledger (user_id);

-- Workflows -----------------------------------------------------------------------------------------------------------
create table workflows (
    id uuid primary key,
    user_id uuid not null references users (id),
    intent text not null,
    context jsonb not null,
    priority text not null,
    plan jsonb,
    planner text,
    status text not null,
    reason text,
    error text,
    max_cost bigint,
    cost bigint not null,
    callback_url text,
    charged text not null,
    run_at timestamptz,
    audit_seq bigint not null,
    audit_hash text not null,
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz
);
create index workflows_by_user on workflows (user_id, id);

-- `attempt` is the fencing token: only the holder of the newest one may record a result.
create table steps (
    workflow_id uuid not null references workflows (id),
    id text not null,
    position bigint not null,
    spec jsonb not null,
    status text not null,
    attempt bigint not null,
    failures bigint not null,
    crashes bigint not null,
    lease_until timestamptz,
    wake_at timestamptz,
    reason text,
    output jsonb,
    error text,
    cost bigint not null,
    started_at timestamptz,
    finished_at timestamptz,
    primary key (workflow_id, id)
);

-- Append-only and hash-chained per workflow: each hash covers the one before it.
create table audit (
    workflow_id uuid not null references workflows (id),
    seq bigint not null,
    at timestamptz not null,
    event text not null,
    actor text not null,
    step text,
    detail jsonb not null,
    hash text not null,
    primary key (workflow_id, seq)
);

-- Background work -----------------------------------------------------------------------------------------------------
-- One row per open piece of work, from the decision to the recorded end. `due_at` is when it is handed to the queue
-- (again): it carries retries, waits, leases and lost messages alike.
create table outbox (
    key text primary key,
    job jsonb not null,
    lane text not null,
    due_at timestamptz not null,
    pushes bigint not null
);
create index outbox_by_due on outbox (lane, due_at);

create table mails (
    id uuid primary key,
    user_id uuid not null references users (id),
    address text not null,
    kind text not null,
    occasion text not null,
    payload jsonb not null,
    status text not null,
    attempts bigint not null,
    last_error text,
    created_at timestamptz not null,
    sent_at timestamptz,
    unique (user_id, kind, occasion)
);

create table idempotency_keys (
    user_id uuid not null references users (id),
    route text not null,
    key text not null,
    fingerprint text not null,
    status bigint not null,
    body text not null,
    created_at timestamptz not null,
    primary key (user_id, route, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

create table duties (
    name text primary key,
    last_tick timestamptz not null,
    holder text,
    lease_until timestamptz
);
