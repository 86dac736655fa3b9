-- Stripe's customer of each account that ever needed one; test mode and live mode know nothing of each other. Whoever
-- reads a customer's state at Stripe takes a number from `sync_started` first; what is written has the number in
-- `sync_written`, and what was read before that is not written any more. `checkout_session` is the page where the
-- customer was last sent to subscribe.
create table stripe_customers (
    customer text primary key,
    user_id uuid not null references users (id),
    livemode boolean not null,
    sync_started bigint not null,
    sync_written bigint not null,
    checkout_session text,
    created_at timestamptz not null,
    unique (user_id, livemode)
);

-- The prices that this deployment sells or has sold: what a subscription is for is known by its price's id alone.
create table stripe_prices (
    price text primary key,
    tier text not null,
    billing_cycle text not null,
    amount bigint not null,
    currency text not null,
    livemode boolean not null,
    created_at timestamptz not null
);

-- What was asked of Stripe on behalf of an account. The row is there before the first call and its id is in every
-- Idempotency-Key, so that what is done again after a crash is the same operation to Stripe. `status` and `body` are the
-- answer, once there is one; until then `busy_until` keeps others out.
create table stripe_operations (
    id uuid primary key,
    user_id uuid not null references users (id),
    route text not null,
    client_key text,
    fingerprint text not null,
    busy_until timestamptz not null,
    status bigint,
    body text,
    created_at timestamptz not null
);
create unique index stripe_operations_by_key on stripe_operations (user_id, route, client_key)
    where client_key is not null;
create index stripe_operations_by_user on stripe_operations (user_id, route);
create index stripe_operations_by_age on stripe_operations (created_at);

-- What Stripe told, each event once. `status`: pending, applied, ignored, dead.
create table stripe_events (
    id text primary key,
    row_id uuid not null unique,
    kind text not null,
    object_id text,
    customer text,
    livemode boolean,
    api_version text,
    via text not null,
    status text not null,
    attempts bigint not null,
    error text,
    created_at timestamptz not null,
    received_at timestamptz not null,
    applied_at timestamptz,
    payload text not null
);
create index stripe_events_by_customer on stripe_events (customer, status, row_id);
create index stripe_events_by_status on stripe_events (status, row_id);
create index stripe_events_by_age on stripe_events (received_at);

-- Each comparison of what is stored with what Stripe says.
create table stripe_reconciliations (
    id uuid primary key,
    kind text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    listed bigint not null,
    found bigint not null,
    detail jsonb not null
);
create index stripe_reconciliations_by_kind on stripe_reconciliations (kind, started_at);

create table invoices (
    id uuid primary key,
    stripe_id text not null unique,
    user_id uuid references users (id),
    number text,
    status text not null,
    billing_reason text,
    amount_due bigint not null,
    amount_paid bigint not null,
    currency text not null,
    hosted_url text,
    pdf_url text,
    period_start timestamptz,
    period_end timestamptz,
    created_at timestamptz not null
);
create index invoices_by_user on invoices (user_id, id);

-- Who bills it, if not us. `entitles_until` is set where status and period do not say it: days of grace, a renewal that
-- Stripe has not told of yet. `pending_*`: what it becomes when the period ends.
alter table subscriptions add column stripe_subscription text;
alter table subscriptions add column cancel_at_period_end boolean not null default false;
alter table subscriptions add column past_due_since timestamptz;
alter table subscriptions add column entitles_until timestamptz;
alter table subscriptions add column pending_tier text;
alter table subscriptions add column pending_cycle text;
create unique index subscriptions_by_stripe on subscriptions (stripe_subscription)
    where stripe_subscription is not null;

-- `stripe_id`: the Checkout session, invoice or refund; `payment_intent`: what a refund is made of; `review`: why a person
-- should look at it.
alter table payments add column stripe_id text;
alter table payments add column payment_intent text;
alter table payments add column refund_of uuid references payments (id);
alter table payments add column review text;
create unique index payments_by_stripe on payments (stripe_id) where stripe_id is not null;
create index payments_refunds on payments (refund_of) where refund_of is not null;
create index payments_by_intent on payments (payment_intent) where payment_intent is not null;
