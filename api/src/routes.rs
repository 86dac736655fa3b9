//! The URL map: every route on one page.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use shared::services::Services;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, Code};
use crate::{App, auth, intents, layers, ops, payments, workflows};

/// The largest body, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AUTOOS",
        description = "Submit an intent in plain words; it becomes a durable workflow. Errors are problem documents (RFC 9457).",
        license(name = "MIT OR Apache-2.0")
    ),
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
        .routes(routes!(auth::verify_email::verify_email, auth::verify_email::page))
        .routes(routes!(auth::me::me, auth::me::change))
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
        // Operations
        .routes(routes!(ops::health::live))
        .routes(routes!(ops::health::ready))
        .routes(routes!(ops::docs::document))
        .routes(routes!(ops::docs::page))
}

/// The whole API. Needs a runtime.
pub fn router(services: Services) -> Router {
    let app = App::new(services);
    let (router, _) = map().split_for_parts();
    router
        .fallback(|| async { ApiError::not_found() })
        .method_not_allowed_fallback(|| async {
            ApiError::new(Code::MethodNotAllowed, "This address does not take that method.")
        })
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(app.clone(), layers::around))
        .with_state(app)
}

/// The `OpenAPI` document, as JSON.
pub fn openapi() -> String {
    map().to_openapi().to_pretty_json().unwrap_or_default()
}
