-- Workflows are limited by the month, a period may have many: the start of the month that `workflows_used` counts. Null:
-- the period's first.
alter table subscriptions add column counted_from timestamptz;
-- `monthly` or `annual`; null if it was not bought, but given.
alter table subscriptions add column billing_cycle text;
