//! `GET /openapi.json` and `GET /docs`

use axum::http::header;
use axum::response::IntoResponse;

use crate::page::HtmlPage;

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
pub async fn page() -> HtmlPage {
    HtmlPage(include_str!("docs.html"))
}
