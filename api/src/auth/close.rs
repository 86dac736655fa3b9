//! The end of an account, by its owner or an admin.
//!
//! What tells whose it was goes at once, with the sessions; running workflows and what they left go by a job. The ledger
//! and payments stay, without the person.

use shared::email::{AccountDeleted, Mail};
use shared::job::Job;
use shared::store::account_events::{self, Event};
use shared::store::users::User;
use shared::store::{StoreResult, Tx, accounts, mails, outbox, sessions};

/// Closes an account in the caller's transaction; false if it is the last admin's or was closed before.
pub async fn close(tx: &mut Tx, user: &User, event: &Event) -> StoreResult<bool> {
    if !accounts::anonymise(tx, user.id, event.at).await? {
        return Ok(false);
    }
    let mail = Mail::AccountDeleted(AccountDeleted { name: user.full_name.clone(), at: event.at });
    accounts::drop_mails(tx, user.id, mail.kind()).await?;
    mails::put(tx, (user.id, &user.email), &mail, "once", event.at).await?;
    sessions::revoke_all(tx, user.id, None, "account deleted", event.at).await?;
    accounts::end_entitlement(tx, user.id, event.at).await?;
    account_events::record(tx, event).await?;
    outbox::put(tx, &[(Job::CloseAccount { user: user.id }, event.at)]).await?;
    Ok(true)
}
