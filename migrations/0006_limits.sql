-- What an account uses of what its plan allows, kept with every change of a step so that nobody has to count. Whoever
-- changes a row locks it first; `autoos doctor` counts again.
create table in_use (
    user_id uuid primary key references users (id),
    -- Steps that run, and steps that wait until one of them ends.
    agents bigint not null check (agents >= 0),
    waiting bigint not null check (waiting >= 0),
    -- Bytes of step outputs.
    storage bigint not null check (storage >= 0)
);

-- The size of the output as JSON without spaces, since the engines store it as different texts.
alter table steps add column output_bytes bigint not null default 0;
-- The owner, and since when, while a ready step waits for one of the owner's agents: the oldest is let in first.
alter table steps add column waits_for uuid;
alter table steps add column waiting_since timestamptz;
create index steps_waiting on steps (waits_for, waiting_since, workflow_id, position) where waits_for is not null;

-- Of outputs that are there already, the text of the engine is good enough.
update steps set output_bytes = octet_length(cast(output as text)) where output is not null;
insert into in_use (user_id, agents, waiting, storage)
select u.id, coalesce(c.agents, 0), 0, coalesce(c.storage, 0) from users u left join
    (select w.user_id, count(case when s.status = 'running' then 1 end) as agents,
            cast(sum(s.output_bytes) as bigint) as storage
     from workflows w join steps s on s.workflow_id = w.id group by w.user_id) c on c.user_id = u.id;

-- When the row was due as it was handed out last: of many that are taken together, the longest due go first.
alter table outbox add column was_due timestamptz;
