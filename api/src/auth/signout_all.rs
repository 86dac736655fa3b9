//! `POST /auth/signout-all`

use axum::extract::State;
use axum::http::StatusCode;
use shared::store::account_events::{self, EventKind};
use shared::store::{sessions, users};

use crate::App;
use crate::error::ApiResult;
use crate::extract::{Client, CurrentUser};

/// Ends every session of the signed-in user, this one too.
#[utoipa::path(post, path = "/auth/signout-all", tag = "Accounts", security(("bearer" = [])), responses(
    (status = 204, description = "Every session is over"),
))]
pub async fn signout_all(State(app): State<App>, current: CurrentUser, client: Client) -> ApiResult<StatusCode> {
    let now = app.services.clock.now();
    let mut tx = app.services.db.begin().await?;
    users::hold(&mut tx, [current.user.id].into_iter()).await?;
    sessions::revoke_all(&mut tx, current.user.id, None, "signed out everywhere", now).await?;
    account_events::record(&mut tx, &current.event(EventKind::SignedOutEverywhere, &client, now)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
