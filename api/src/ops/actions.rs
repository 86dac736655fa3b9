//! `GET /api/v1/actions`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::App;
use crate::extract::CurrentUser;

/// An action that plans may name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionBody {
    /// Its name.
    name: &'static str,
    /// What it does.
    summary: &'static str,
    /// What one run costs, in US dollars.
    cost: f64,
    /// JSON Schema of its parameters.
    #[schema(value_type = Object)]
    params: Value,
    /// JSON Schema of its output.
    #[schema(value_type = Object)]
    output: Value,
    /// Parameters as an example.
    #[schema(value_type = Object)]
    example: Value,
}

/// The catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionList {
    items: Vec<ActionBody>,
}

/// The actions that plans may name, with their schemas.
#[utoipa::path(get, path = "/api/v1/actions", tag = "Workflows", security(("bearer" = [])), responses(
    (status = 200, description = "The catalogue", body = ActionList),
))]
pub async fn actions(State(app): State<App>, _: CurrentUser) -> Json<ActionList> {
    let items = app.services.catalogue.all().iter().map(|action| ActionBody {
        name: action.name,
        summary: action.summary,
        cost: crate::intents::dollars(action.cost_micros),
        params: action.params.clone(),
        output: action.output.clone(),
        example: action.example.clone(),
    });
    Json(ActionList { items: items.collect() })
}
