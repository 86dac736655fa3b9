//! `POST /payments/portal`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use shared::store::Tx;
use shared::store::users::User;
use utoipa::ToSchema;

use super::at_stripe;
use super::operation::{self, Operation, Stop, Work};
use crate::App;
use crate::error::ApiResult;
use crate::extract::CurrentUser;
use crate::replay::{Answer, Key};

/// Stripe's page for a customer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Portal {
    /// Its address, good for a few minutes.
    #[schema(format = "uri")]
    url: String,
}

/// Opens the page of Stripe where payment methods are changed and invoices are paid.
#[utoipa::path(post, path = "/payments/portal", tag = "Payments", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request safe to repeat for 24 h",
        min_length = 1, max_length = 255)),
    responses(
    (status = 200, description = "Where the page is", body = Portal),
    (status = 409, description = "A request like this one is being worked on"),
    (status = 422, description = "The Idempotency-Key is not valid"),
    (status = 503, description = "Payments through Stripe are not configured or not available, or the server is busy"),
))]
pub async fn portal(State(app): State<App>, current: CurrentUser, headers: HeaderMap) -> ApiResult<Answer> {
    let key = Key::of(&headers, current.user.id, "payments/portal", String::new())?;
    operation::run(&app, key, OpenPortal(current.user)).await
}

/// Whose page to open.
struct OpenPortal(User);

impl Work for OpenPortal {
    type Found = Portal;

    async fn ask(&self, operation: &Operation) -> Result<Portal, Stop> {
        let customer = at_stripe::customer(operation, &self.0).await?.id;
        let back = operation.services.config.plans_link();
        let portal = operation.stripe.create_portal(&customer, &back, &operation.try_key("portal")).await?;
        Ok(Portal { url: portal.url })
    }

    async fn store(&self, _: &Operation, _: &mut Tx, found: Portal) -> Result<Answer, Stop> {
        Ok(Answer::json(StatusCode::OK, &found)?)
    }
}
