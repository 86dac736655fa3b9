//! `GET /openapi.json` and `GET /docs`

use axum::http::header;
use axum::response::{Html, IntoResponse};

/// The `OpenAPI` document.
#[utoipa::path(get, path = "/openapi.json", tag = "Operations", responses(
    (status = 200, description = "The document", content_type = "application/json"),
))]
pub async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi())
}

/// The document for people.
#[utoipa::path(get, path = "/docs", tag = "Operations", responses(
    (status = 200, description = "A page", content_type = "text/html"),
))]
pub async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}
