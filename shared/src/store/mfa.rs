//! The second factor of an account: its secret, the codes that were spent, the backup codes.
//!
//! Whatever may happen only once is a conditional update here: of two requests with the same code one is told no.

use chrono::{DateTime, Utc};

use super::{INSERT_END, StoreResult, Tx, batch, insert_into, pieces};
use crate::ids::UserId;

/// Stores a sealed secret that is not asked for yet, in place of an earlier one; false if the factor is on already.
pub async fn set_secret(tx: &mut Tx, user: UserId, sealed: &str) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update users set totp_secret = $2, totp_step = 0 where id = $1 and not mfa_enabled and deleted_at is null",
        )
        .bind(user)
        .bind(sealed)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// The sealed secret, whether it is asked for or not yet.
pub async fn secret(tx: &mut Tx, user: UserId) -> StoreResult<Option<String>> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select totp_secret from users where id = $1 and totp_secret is not null")
            .bind(user)
            .fetch_optional(&mut *c)
            .await?
    }))
}

/// Turns the factor on, with the step whose code has shown that the app has the secret; false if the factor is on
/// already, or the secret is another one meanwhile.
pub async fn enable(tx: &mut Tx, user: UserId, (sealed, step): (&str, i64)) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update users set mfa_enabled = true, totp_step = $3
             where id = $1 and totp_secret = $2 and not mfa_enabled",
        )
        .bind(user)
        .bind(sealed)
        .bind(step)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    Ok(done == 1)
}

/// Turns the factor off and forgets all of it; false if it is not on.
pub async fn disable(tx: &mut Tx, user: UserId) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query(
            "update users set mfa_enabled = false, totp_secret = null, totp_step = 0 where id = $1 and mfa_enabled",
        )
        .bind(user)
        .execute(&mut *c)
        .await?
        .rows_affected()
    });
    delete_backup_codes(tx, user).await?;
    Ok(done == 1)
}

/// Spends the code of a step, and those before it; false if that has happened already, or the factor is not on.
pub async fn spend_step(tx: &mut Tx, user: UserId, step: i64) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query("update users set totp_step = $2 where id = $1 and mfa_enabled and totp_step < $2")
            .bind(user)
            .bind(step)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// Puts these hashes in place of all backup codes; false if the factor is not on.
pub async fn replace_backup_codes(tx: &mut Tx, user: UserId, hashes: &[String]) -> StoreResult<bool> {
    // Changes nothing, but lets nobody else replace them at the same time; else both sets would stay.
    let on = on!(tx, |c| {
        sqlx::query("update users set mfa_enabled = true where id = $1 and mfa_enabled")
            .bind(user)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    if on == 0 {
        return Ok(false);
    }
    delete_backup_codes(tx, user).await?;
    for piece in pieces(hashes) {
        batch!(tx, |q| {
            q.push(insert_into("backup_codes (user_id, hash)"));
            q.push_values(piece.marked(), |mut row, (mark, hash)| {
                row.push_bind(mark).push_bind(user).push_bind(hash.as_str());
            });
            q.push(INSERT_END);
        });
    }
    Ok(true)
}

async fn delete_backup_codes(tx: &mut Tx, user: UserId) -> StoreResult<()> {
    on!(tx, |c| sqlx::query("delete from backup_codes where user_id = $1")
        .bind(user)
        .execute(&mut *c)
        .await?
        .rows_affected());
    Ok(())
}

/// Spends a backup code; false if there is no such code, or it was spent before.
pub async fn spend_backup_code(tx: &mut Tx, user: UserId, hash: &str, now: DateTime<Utc>) -> StoreResult<bool> {
    let done = on!(tx, |c| {
        sqlx::query("update backup_codes set used_at = $3 where user_id = $1 and hash = $2 and used_at is null")
            .bind(user)
            .bind(hash)
            .bind(now)
            .execute(&mut *c)
            .await?
            .rows_affected()
    });
    Ok(done == 1)
}

/// How many backup codes are left.
pub async fn unused_backup_codes(tx: &mut Tx, user: UserId) -> StoreResult<i64> {
    Ok(on!(tx, |c| {
        sqlx::query_scalar("select count(*) from backup_codes where user_id = $1 and used_at is null")
            .bind(user)
            .fetch_one(&mut *c)
            .await?
    }))
}
