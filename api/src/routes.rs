//! The URL map: every route on one page.

use axum::Router;
use axum::middleware::from_fn_with_state;
use shared::services::Services;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, Code, Problem};
use crate::layers::Edge;
use crate::{App, Bounds, auth, document, intents, layers, ops, payments, webhooks, workflows};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AUTOOS",
        description = "Submit an intent in plain words; it becomes a durable workflow. Errors are problem documents (RFC 9457).",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem)),
    modifiers(&Bearer)
)]
struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

fn map() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        // Accounts
        .routes(routes!(auth::signup::signup))
        .routes(routes!(auth::signin::signin))
        .routes(routes!(auth::refresh::refresh))
        .routes(routes!(auth::signout::signout))
        .routes(routes!(auth::signout_all::signout_all))
        .routes(routes!(auth::sessions::sessions))
        .routes(routes!(auth::sessions::revoke))
        .routes(routes!(auth::ask_for_link::forgot_password))
        .routes(routes!(auth::ask_for_link::resend_verification))
        .routes(routes!(auth::reset_password::reset_password, auth::reset_password::page))
        .routes(routes!(auth::change_password::change_password))
        .routes(routes!(auth::verify_email::verify_email, auth::verify_email::page))
        .routes(routes!(auth::me::me, auth::me::change, auth::me::delete))
        .routes(routes!(auth::mfa::setup::setup))
        .routes(routes!(auth::mfa::verify::verify))
        .routes(routes!(auth::mfa::disable::disable))
        .routes(routes!(auth::mfa::backup_codes::backup_codes))
        // Admins
        .routes(routes!(auth::users::list))
        .routes(routes!(auth::users::get, auth::users::change, auth::users::delete))
        .routes(routes!(auth::audit::audit))
        // Intents
        .routes(routes!(intents::create::create))
        .routes(routes!(intents::preview::preview))
        .routes(routes!(intents::batch::batch))
        // Workflows
        .routes(routes!(workflows::list::list))
        .routes(routes!(workflows::get::get, workflows::delete::delete))
        .routes(routes!(workflows::audit::audit))
        .routes(routes!(workflows::pause::pause))
        .routes(routes!(workflows::resume::resume))
        .routes(routes!(workflows::decide::complete))
        .routes(routes!(workflows::decide::approve))
        .routes(routes!(workflows::decide::reject))
        .routes(routes!(ops::actions::actions))
        // Payments
        .routes(routes!(payments::pricing::pricing))
        .routes(routes!(payments::trial::trial))
        .routes(routes!(payments::subscribe::subscribe))
        .routes(routes!(payments::change_plan::change_plan))
        .routes(routes!(payments::change_plan::preview))
        .routes(routes!(payments::cancel::cancel))
        .routes(routes!(payments::reactivate::reactivate))
        .routes(routes!(payments::portal::portal))
        .routes(routes!(payments::history::history))
        .routes(routes!(payments::invoices::invoices))
        .routes(routes!(payments::refunds::refund))
        .routes(routes!(payments::qr::create::create))
        .routes(routes!(payments::qr::get::get))
        .routes(routes!(payments::qr::confirm::confirm))
        .routes(routes!(payments::qr::transactions::transactions))
        .routes(routes!(payments::subscription::subscription))
        .routes(routes!(payments::usage::own))
        .routes(routes!(payments::usage::of))
        .routes(routes!(payments::subscriptions::list))
        .routes(routes!(payments::subscriptions::get))
        .routes(routes!(payments::extend_trial::extend_trial))
        .routes(routes!(payments::adjust::adjust))
        .routes(routes!(payments::stripe_events::list))
        .routes(routes!(payments::stripe_events::replay))
        .routes(routes!(payments::reconciliations::list))
        // What others tell
        .routes(routes!(webhooks::stripe::stripe))
        // Operations
        .routes(routes!(ops::health::live))
        .routes(routes!(ops::health::ready))
        .routes(routes!(ops::jwks::jwks))
        .routes(routes!(ops::docs::document))
        .routes(routes!(ops::docs::page))
}

/// The whole API.
pub fn router(services: Services, bounds: Bounds) -> Router {
    let edge = Edge::new(&services);
    let (routes, _) = map().split_for_parts();
    let routes = routes
        // Only what comes before is held to it; a route that streams is merged after this line.
        .layer(from_fn_with_state(bounds.request, layers::in_time))
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async {
            ApiError::new(Code::MethodNotAllowed, "This address does not take that method.")
        });
    let routes = layers::wrap(routes, edge, &services.config.cors_origins);
    routes.with_state(App::new(services, bounds))
}

/// The `OpenAPI` document, as JSON.
pub fn openapi() -> String {
    let mut document = map().into_openapi();
    document::complete(&mut document);
    document.to_pretty_json().unwrap_or_default()
}
