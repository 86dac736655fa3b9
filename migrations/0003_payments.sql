-- Rows are never deleted. `status` only moves forward: pending to paid, expired or failed; expired to paid (`late`).
create table payments (
    id uuid primary key,
    user_id uuid references users (id),
    kind text not null,
    scheme text not null,
    tier text not null,
    billing_cycle text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    status text not null,
    payload text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    paid_at timestamptz,
    reference text unique,
    confirmed_by uuid,
    late boolean not null
);
create index payments_by_user on payments (user_id, id);
create index payments_pending on payments (expires_at) where status = 'pending';
