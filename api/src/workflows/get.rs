//! `GET /api/v1/workflows/{id}`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use shared::domain::plan::{Plan, PlanStep};
use shared::domain::status::{Priority, StepStatus, WorkflowStatus};
use shared::ids::WorkflowId;
use shared::store::workflows::{StepView, WorkflowView};
use utoipa::ToSchema;

use crate::App;
use crate::error::ApiResult;
use crate::extract::ReadableWorkflow;
use crate::intents::dollars;

/// A workflow with its steps.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowBody {
    #[serde(flatten)]
    summary: Summary,
    /// What runs; null until planned.
    plan: Option<Plan>,
    /// The steps, in the plan's order.
    steps: Vec<StepBody>,
    /// The output of the last step, or the outputs of the last steps by their ids.
    result: Option<Value>,
}

/// A workflow without its steps.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    #[schema(value_type = uuid::Uuid)]
    workflow_id: WorkflowId,
    intent: String,
    status: WorkflowStatus,
    priority: Priority,
    /// What made the plan: `plan`, `recipe:<name>` or `human`.
    planner: Option<String>,
    /// Why it does not move, if it does not.
    reason: Option<String>,
    /// Why it failed.
    error: Option<String>,
    steps_completed: usize,
    steps_failed: usize,
    steps_total: usize,
    /// Spent so far, in US dollars.
    cost: f64,
    run_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
}

/// A step.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepBody {
    step_id: String,
    action: String,
    status: StepStatus,
    /// Why it does not move, if it does not.
    reason: Option<String>,
    attempts: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    output: Option<Value>,
    error: Option<String>,
    /// Spent so far, in US dollars.
    cost: f64,
}

/// A workflow: where it stands, what it did, and why it does not move, if it does not.
#[utoipa::path(get, path = "/api/v1/workflows/{id}", tag = "Workflows", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The workflow")), responses(
    (status = 200, description = "The workflow", body = WorkflowBody),
    (status = 403, description = "It belongs to somebody else"),
))]
pub async fn get(State(app): State<App>, ReadableWorkflow(view): ReadableWorkflow) -> ApiResult<Json<WorkflowBody>> {
    super::show(&app, view.id).await
}

impl Summary {
    /// A workflow with the counts of its steps.
    pub fn new(view: &WorkflowView, steps: &[StepView]) -> Self {
        let count = |status| steps.iter().filter(|step| step.status == status).count();
        let reason = view.reason.clone().or_else(|| waiting_reason(view, steps));
        Self {
            workflow_id: view.id,
            intent: view.intent.clone(),
            status: view.status,
            priority: view.priority,
            planner: view.planner.clone(),
            reason,
            error: view.error.clone(),
            steps_completed: count(StepStatus::Completed),
            steps_failed: count(StepStatus::Failed),
            steps_total: steps.len(),
            cost: dollars(view.cost),
            run_at: view.run_at,
            created_at: view.created_at,
            started_at: view.started_at,
            completed_at: view.completed_at,
        }
    }
}

/// A running workflow of which no step runs says what it waits for.
fn waiting_reason(view: &WorkflowView, steps: &[StepView]) -> Option<String> {
    match view.status {
        WorkflowStatus::Pending => Some(match view.run_at {
            Some(at) => format!("Waiting until {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
            None => "Waiting to be planned".to_owned(),
        }),
        WorkflowStatus::Running if steps.iter().all(|s| s.status != StepStatus::Running) => {
            steps.iter().filter(|s| !s.status.ended()).find_map(|s| s.reason.clone())
        }
        _ => None,
    }
}

impl WorkflowBody {
    /// A workflow and its steps.
    pub fn new(view: WorkflowView, steps: Vec<StepView>) -> Self {
        let summary = Summary::new(&view, &steps);
        let result = if view.status == WorkflowStatus::Completed { result(&steps) } else { None };
        let plan = view.plan.map(|plan| plan.0).or_else(|| stored_plan(&steps));
        Self { summary, plan, result, steps: steps.into_iter().map(StepBody::from).collect() }
    }
}

/// The plan that a recipe made, from the steps that came of it.
fn stored_plan(steps: &[StepView]) -> Option<Plan> {
    let step = |view: &StepView| {
        let spec = view.spec.0.clone();
        PlanStep {
            id: view.id.clone(),
            action: spec.action,
            needs: spec.needs,
            with: spec.with,
            when: spec.when,
            retry: spec.retry,
            timeout_s: spec.timeout_s,
            on_failure: spec.on_failure,
        }
    };
    (!steps.is_empty()).then(|| Plan { steps: steps.iter().map(step).collect() })
}

/// What came of the steps that no other step needs.
fn result(steps: &[StepView]) -> Option<Value> {
    let needed = |id: &String| steps.iter().any(|step| step.spec.needs.contains(id));
    let mut last: Vec<_> = steps
        .iter()
        .filter(|step| !needed(&step.id))
        .filter_map(|step| Some((step.id.clone(), step.output.as_ref()?.0.clone())))
        .collect();
    if last.len() == 1 { last.pop().map(|(_, output)| output) } else { Some(Value::Object(last.into_iter().collect())) }
}

impl From<StepView> for StepBody {
    fn from(view: StepView) -> Self {
        Self {
            step_id: view.id,
            action: view.spec.0.action,
            status: view.status,
            reason: view.reason,
            attempts: view.attempt,
            started_at: view.started_at,
            finished_at: view.finished_at,
            output: view.output.map(|output| output.0),
            error: view.error,
            cost: dollars(view.cost),
        }
    }
}
