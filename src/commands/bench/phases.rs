//! The measurements, one after the other on one running system.

use std::iter::successors;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::ids::WorkflowId;
use shared::store::{Db, measure};

use super::load::Load;
use super::report::progress;
use super::usage::Watch;

/// How long the idle system is watched.
const IDLE: Duration = Duration::from_secs(5);
/// The pace at which latency is measured.
const PER_SECOND: u32 = 20;
/// How long the round before a measurement takes.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long workflows may take that should be done at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many copies of a workflow one transaction stores.
const COPIES: i64 = 10_000;

/// What a load came to.
pub struct Throughput {
    /// How many per second.
    pub per_second: f64,
    /// CPU time of each, in microseconds.
    pub cpu_us: f64,
}

/// Times until a first step: p50 and p99, in milliseconds.
pub struct Latency {
    /// Until a worker took it.
    pub start: (f64, f64),
    /// Until its action had run.
    pub run: (f64, f64),
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The share of a core that the idle system uses.
pub async fn idle_cpu(watch: &Watch) -> anyhow::Result<f64> {
    let (begin, before) = (Instant::now(), watch.exact_cpu()?);
    tokio::time::sleep(IDLE).await;
    let used = before.until(&watch.exact_cpu()?);
    Ok(used.as_secs_f64() / begin.elapsed().as_secs_f64())
}

/// Submits at a slow pace; gives how long the first steps took to come.
pub async fn latency(load: &Load<'_>, span: Duration) -> anyhow::Result<Latency> {
    let since = measure::before_all_from(Clock::System.now());
    let accepted = load.paced(&intent(None), PER_SECOND, span).await?.len();
    load.all_completed(since, accepted as u64, PATIENCE).await?;
    let steps = load.first_steps(since).await?;
    if steps.is_empty() {
        bail!("no workflow has run");
    }
    let times = |until: &dyn Fn(&measure::FirstStep) -> DateTime<Utc>| {
        p50_p99(steps.iter().map(|step| between(step.accepted_at, until(step))).collect())
    };
    Ok(Latency { start: times(&|step| step.started_at), run: times(&|step| step.finished_at) })
}

/// Submits at the same pace; gives how long the answers took to come: p50 and p99, in milliseconds.
pub async fn answers(load: &Load<'_>, span: Duration) -> anyhow::Result<(f64, f64)> {
    let since = measure::before_all_from(Clock::System.now());
    let took = load.paced(&intent(None), PER_SECOND, span).await?;
    if took.is_empty() {
        bail!("no intent was submitted");
    }
    load.all_completed(since, took.len() as u64, PATIENCE).await?;
    Ok(p50_p99(with_held_up(&took, Duration::from_secs(1) / PER_SECOND)))
}

/// The times in milliseconds, also those of the requests that were not sent while a slow answer was waited for: each
/// would have been sent one `pace` after the other, and have waited for the rest of that time.
fn with_held_up(took: &[Duration], pace: Duration) -> Vec<f64> {
    took.iter().flat_map(|took| successors(Some(*took), move |left| left.checked_sub(pace))).map(millis).collect()
}

/// The median and what one in a hundred is above; of at least one value.
pub fn p50_p99(mut all: Vec<f64>) -> (f64, f64) {
    all.sort_by(f64::total_cmp);
    (percentile(&all, 0.50), percentile(&all, 0.99))
}

fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_microseconds().unwrap_or(i64::MAX) as f64 / 1_000.0
}

/// The smallest value that is not below `share` of all; of sorted values, at least one.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Submits workflows of three steps and waits until all are done; the time is from the first request to the last step.
/// A short round before it does not count: connections and prepared statements are made once, and `PostgreSQL` is told
/// what the tables are like, which it finds out by itself within a minute.
pub async fn wf3(load: &Load<'_>, watch: &Watch, span: Duration) -> anyhow::Result<Throughput> {
    warm_up(load).await?;
    measure::tidy(load.db).await?;
    let since = measure::before_all_from(Clock::System.now());
    let (begin, before) = (Instant::now(), watch.cpu()?);
    let accepted = load.flood(&intent(None), span).await?;
    load.all_completed(since, accepted, PATIENCE + span * 20).await?;
    result(accepted, begin.elapsed(), watch.cpu()?.saturating_sub(before))
}

async fn warm_up(load: &Load<'_>) -> anyhow::Result<()> {
    let since = measure::before_all_from(Clock::System.now());
    let accepted = load.flood(&intent(None), WARM_UP).await?;
    load.all_completed(since, accepted, PATIENCE).await
}

/// Submits the same workflows with a start so much later that only accepting them is measured.
pub async fn accepting(load: &Load<'_>, watch: &Watch, span: Duration) -> anyhow::Result<Throughput> {
    let tomorrow = Clock::System.now() + TimeDelta::days(1);
    let (begin, before) = (Instant::now(), watch.cpu()?);
    let accepted = load.flood(&intent(Some(tomorrow)), span).await?;
    result(accepted, begin.elapsed(), watch.cpu()?.saturating_sub(before))
}

fn result(count: u64, took: Duration, cpu: Duration) -> anyhow::Result<Throughput> {
    if count == 0 {
        bail!("no intent was accepted");
    }
    let count = count as f64;
    Ok(Throughput { per_second: count / took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1_000_000.0 / count })
}

/// An intent with a plan of three steps in a chain that do nothing, and 100 bytes of data.
fn intent(run_at: Option<DateTime<Utc>>) -> String {
    let with = json!({"template": "done"});
    let step = |id: &str, needs: &[&str]| json!({"id": id, "action": "template.render", "needs": needs, "with": with});
    let mut intent = json!({
        "intent": "Run three steps in a chain",
        "context": {"payload": "x".repeat(100)},
        "plan": {"steps": [step("a", &[]), step("b", &["a"]), step("c", &["b"])]},
    });
    if let Some(at) = run_at {
        intent["run_at"] = Value::String(at.to_rfc3339_opts(SecondsFormat::Micros, true));
    }
    intent.to_string()
}

/// Fills the database with copies of a finished workflow while no role runs.
pub async fn fill_history(db: &Db, of: WorkflowId, count: u64) -> anyhow::Result<()> {
    progress(&format!("filling in {count} finished workflows"));
    let count = i64::try_from(count).context("so long a history")?;
    let mut from = 1;
    while from <= count {
        let to = (from + COPIES - 1).min(count);
        let mut tx = db.begin().await?;
        measure::copy_finished(&mut tx, of, (from, to)).await?;
        tx.commit().await?;
        from = to + 1;
    }
    Ok(measure::tidy(db).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 0.50), percentile(&sorted, 0.99)), (100.0, 198.0));
        assert_eq!((percentile(&[7.0], 0.50), percentile(&[7.0], 0.99)), (7.0, 7.0));
    }

    #[test]
    fn a_slow_answer_counts_for_those_that_it_held_up_as_well() {
        let took = [10, 170, 50].map(Duration::from_millis);
        let all: Vec<_> = with_held_up(&took, Duration::from_millis(50)).iter().map(|ms| ms.round() as u64).collect();
        assert_eq!(all, [10, 170, 120, 70, 20, 50, 0]);
    }

    #[test]
    fn the_plan_of_the_intent_is_sound() {
        let intent: Value = serde_json::from_str(&intent(None)).unwrap();
        let plan: shared::domain::plan::Plan = serde_json::from_value(intent["plan"].clone()).unwrap();
        let faults = shared::actions::Catalogue::new().check(&plan, "plan");
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(plan.steps.len(), 3);
    }
}
