//! What admins do to accounts, and their end. The last enabled admin stays one, whoever asks.

use chrono::{DateTime, Utc};

use super::users::{Account, columns, key};
use super::{StoreResult, Tx, agents, credits, outbox, pieces, workflow_rows};
use crate::ids::UserId;
use crate::job::Job;

/// Holds up everybody else who would change who is an admin, until the transaction ends. Whoever locks an account for
/// such a change does this first; two who did it the other way round could wait for each other.
pub async fn lock_admins(tx: &mut Tx) -> StoreResult<()> {
    if !tx.has_one_writer() {
        let sql = "select 1 from users where role = 'admin' order by id for no key update";
        on!(tx, |c| sqlx::query(sql).fetch_all(&mut *c).await.map(drop))?;
    }
    Ok(())
}

/// Another enabled admin than `$1`, as a condition.
macro_rules! another_admin {
    () => {
        "exists (select 1 from users o where o.role = 'admin' and not o.disabled and o.id <> $1)"
    };
}

/// Gives an account a role, unless it is the last enabled admin losing theirs; false then, or without such an account.
pub async fn set_role(tx: &mut Tx, id: UserId, role: &str) -> StoreResult<bool> {
    lock_admins(tx).await?;
    let sql = concat!(
        "update users set role = $2 where id = $1 and deleted_at is null
         and ($2 = 'admin' or role <> 'admin' or disabled or ",
        another_admin!(),
        ")"
    );
    let done = on!(tx, |c| sqlx::query(sql).bind(id).bind(role).execute(&mut *c).await?.rows_affected());
    Ok(done == 1)
}

/// Shuts or opens an account; false if it is the last enabled admin being shut, or without such an account.
pub async fn set_disabled(tx: &mut Tx, id: UserId, disabled: bool) -> StoreResult<bool> {
    lock_admins(tx).await?;
    let sql = concat!(
        "update users set disabled = $2 where id = $1 and deleted_at is null
         and (not $2 or role <> 'admin' or disabled or ",
        another_admin!(),
        ")"
    );
    let done = on!(tx, |c| sqlx::query(sql).bind(id).bind(disabled).execute(&mut *c).await?.rows_affected());
    Ok(done == 1)
}

/// Takes everything from an account that tells whose it was; false if it is the last enabled admin, was closed before,
/// or there is none. What refers to it (ledger, payments) stays.
pub async fn anonymise(tx: &mut Tx, id: UserId, now: DateTime<Utc>) -> StoreResult<bool> {
    lock_admins(tx).await?;
    let sql = concat!(
        "update users set email = $3, email_key = $3, username = $4, username_key = $4, password_hash = '',
         full_name = 'Deleted', role = case when role = 'admin' then 'professional' else role end,
         organization = null, student_id = null, employee_id = null, email_verified = false, mfa_enabled = false,
         totp_secret = null, disabled = true, mail_on_finish = false, mail_on_failure = false, mail_on_signin = false,
         deleted_at = $2 where id = $1 and deleted_at is null and (role <> 'admin' or disabled or ",
        another_admin!(),
        ")"
    );
    let done = on!(tx, |c| {
        sqlx::query(sql)
            .bind(id)
            .bind(now)
            // Neither can be signed up with: an address has an @, and a user name no colon.
            .bind(format!("deleted:{id}"))
            .bind(format!("deleted:{id}"))
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// Which accounts to list; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those whose address, user name or full name contains this, in any case.
    pub text: Option<String>,
    /// Those of this role.
    pub role: Option<String>,
    /// Those in this state: `active`, `unverified`, `disabled`, `deleted`.
    pub status: Option<String>,
    /// Those made before this one.
    pub before: Option<UserId>,
}

/// The states that [`Filter::status`] knows.
pub const STATES: [&str; 4] = ["active", "unverified", "disabled", "deleted"];

/// Reads accounts, the newest first.
pub async fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> StoreResult<Vec<Account>> {
    let sql = concat!(
        "select ",
        columns!(),
        ", p.tier, p.status as subscription_status, p.current_period_end, p.entitles_until
         from users u left join subscriptions p on p.user_id = u.id
         where (cast($1 as text) is null or u.email_key like $1 escape '!' or u.username_key like $1 escape '!'
         or lower(u.full_name) like $1 escape '!' or u.full_name like $6 escape '!') and (cast($2 as text) is null or u.role = $2)
         and (cast($3 as text) is null or $3 = case when u.deleted_at is not null then 'deleted'
         when u.disabled then 'disabled' when u.email_verified then 'active' else 'unverified' end)
         and (cast($4 as uuid) is null or u.id < $4) order by u.id desc limit $5"
    );
    // An engine may know the two cases of plain letters only; a name is found at least as it is written.
    let written = filter.text.as_deref().map(|text| contains(text.trim()));
    let text = filter.text.as_deref().map(|text| contains(&key(text)));
    Ok(on!(tx, |c| {
        sqlx::query_as(sql)
            .bind(&text)
            .bind(&filter.role)
            .bind(&filter.status)
            .bind(filter.before)
            .bind(limit)
            .bind(&written)
            .fetch_all(&mut *c)
            .await?
    }))
}

/// Reads one account with its subscription.
pub async fn get(tx: &mut Tx, id: UserId) -> StoreResult<Option<Account>> {
    let sql = concat!(
        "select ",
        columns!(),
        ", p.tier, p.status as subscription_status, p.current_period_end, p.entitles_until
         from users u left join subscriptions p on p.user_id = u.id where u.id = $1"
    );
    Ok(on!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(&mut *c).await?))
}

/// A pattern for everything that contains `text`, which is taken literally.
fn contains(text: &str) -> String {
    let literal: String = text.chars().flat_map(|c| "!%_".contains(c).then_some('!').into_iter().chain([c])).collect();
    format!("%{literal}%")
}

/// Drops mails to an account that have not been sent, but for those of one kind.
pub async fn drop_mails(tx: &mut Tx, user: UserId, but: &str) -> StoreResult<()> {
    let ids: Vec<uuid::Uuid> = on!(tx, |c| {
        sqlx::query_scalar("delete from mails where user_id = $1 and status = 'pending' and kind <> $2 returning id")
            .bind(user)
            .bind(but)
            .fetch_all(&mut *c)
            .await?
    });
    let keys: Vec<_> = ids.into_iter().map(|mail| Job::SendEmail { mail }.key()).collect();
    outbox::delete(tx, &keys).await
}

/// Ends an account's trial and subscription: from now on nothing can be charged to it. The rows that a charge locks are
/// changed, so a charge either came before, or finds this.
pub async fn end_entitlement(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> StoreResult<()> {
    credits::end_trial(tx, user, now).await?;
    on!(tx, |c| {
        sqlx::query("update subscriptions set status = 'canceled' where user_id = $1")
            .bind(user)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(())
}

/// The workflows of an account, up to `limit` of them, with whether each has ended.
pub async fn workflows(tx: &mut Tx, user: UserId, limit: i64) -> StoreResult<Vec<(crate::ids::WorkflowId, bool)>> {
    Ok(on!(tx, |c| {
        sqlx::query_as(
            "select id, status in ('completed', 'failed', 'cancelled') from workflows where user_id = $1
             order by id limit $2",
        )
        .bind(user)
        .bind(limit)
        .fetch_all(&mut *c)
        .await?
    }))
}

/// Erases workflows with all that they left and used.
pub async fn erase_workflows(tx: &mut Tx, ids: &[crate::ids::WorkflowId]) -> StoreResult<()> {
    // Some may still run a step: those that have failed.
    let erased = workflow_rows::lock(tx, ids).await?;
    agents::take_off(tx, &erased).await?;
    for table in [
        "delete from audit where workflow_id in (",
        "delete from steps where workflow_id in (",
        "delete from workflows where id in (",
    ] {
        for piece in pieces(ids) {
            super::batch!(tx, |q| {
                q.push(table);
                piece.push_list(&mut q);
                q.push(")");
            });
        }
    }
    Ok(())
}

/// Erases what else was kept for an account: tokens, codes, answers, sent mails; and where its owner was, and what
/// Stripe told of the person.
pub async fn erase_traces(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    for sql in [
        "delete from mail_tokens where user_id = $1",
        "delete from backup_codes where user_id = $1",
        "delete from idempotency_keys where user_id = $1",
        "delete from stripe_operations where user_id = $1",
        "delete from mails where user_id = $1 and status <> 'pending'",
    ] {
        on!(tx, |c| sqlx::query(sql).bind(user).execute(&mut *c).await?.rows_affected());
    }
    super::sessions::anonymise(tx, user).await?;
    super::stripe_events::anonymise(tx, user).await?;
    super::invoices::anonymise(tx, user).await?;
    super::account_events::anonymise(tx, user).await
}
