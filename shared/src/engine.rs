//! The engine: commands to workflows, many at a time in one transaction.
//!
//! There is no orchestrator process to crash: whoever has something to tell a workflow loads it under a lock, lets the
//! pure aggregate decide, and saves rows, audit entries, outbox rows, refunds and mails together.

mod announce;
mod known;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::config::Config;
use crate::domain::status::{Charged, WorkflowStatus};
use crate::domain::tier::Tiers;
use crate::domain::workflow::{Changes, Circumstances, Claim, Command, InUse, Refusal, Workflow};
use crate::ids::{UserId, WorkflowId};
use crate::job::Job;
use crate::store::agents::{self, Owner, Use};
use crate::store::workflows::NewWorkflow;
use crate::store::{Db, StoreError, StoreResult, Tx, credits, outbox, workflow_rows};

use self::announce::announce_ends;
pub use self::known::Known;

/// A command with its addressee and circumstances.
#[derive(Debug, Clone)]
pub struct Order {
    /// The workflow.
    pub workflow: WorkflowId,
    /// What to do.
    pub command: Command,
    /// Who asks, when, on what terms.
    pub with: Circumstances,
}

/// What became of an order.
pub type Outcome = Result<Option<Claim>, Refusal>;

/// Stores intents that have been paid for: workflow, first audit entry, first job of each. True if relays should look,
/// since one of the jobs is due soon.
pub async fn accept(tx: &mut Tx, intents: &[(&NewWorkflow, Circumstances)]) -> StoreResult<bool> {
    let mut rows = Vec::with_capacity(intents.len());
    let mut jobs = Vec::with_capacity(intents.len());
    let mut wake = false;
    for (new, with) in intents {
        let mut changes = Changes::default();
        Workflow::accepted(new.id, new.user_id, (new.priority, new.charged)).note_created(with, &mut changes);
        rows.extend(changes.audit.into_iter().map(|first| (*new, first)));
        let due = new.run_at.unwrap_or_else(|| new.priority.due(with.now));
        wake |= outbox::is_soon(due, with.now);
        jobs.push((Job::PlanWorkflow { workflow: new.id }, due));
    }
    crate::store::workflows::insert(tx, &rows).await?;
    outbox::put(tx, &jobs).await?;
    Ok(wake)
}

/// What became of some orders.
#[derive(Debug)]
pub struct Applied {
    /// An outcome for each order.
    pub outcomes: Vec<Outcome>,
    /// Whether rows that are due soon were put into the outbox, so that relays should look.
    pub wake: bool,
}

/// Carries out orders in one transaction, in their order.
pub async fn apply<O: Borrow<Order> + Sync>(
    db: &Db,
    config: &Config,
    known: &Known,
    orders: &[O],
) -> StoreResult<Applied> {
    let orders: Vec<&Order> = orders.iter().map(Borrow::borrow).collect();
    match apply_once(db, (config, known), &orders, Hold::Late).await {
        Err(StoreError::Conflict(agents::AGENTS)) => apply_once(db, (config, known), &orders, Hold::Early).await,
        applied => applied,
    }
}

/// When what the owners use is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Before anything is decided: needed where agents are scarce, and costs nothing where there is one writer.
    Early,
    /// When all else is written, so that other transactions for the same owners wait less.
    Late,
}

async fn apply_once(
    db: &Db,
    (config, known): (&Config, &Known),
    orders: &[&Order],
    hold: Hold,
) -> StoreResult<Applied> {
    let mut tx = db.begin().await?;
    let hold = if tx.has_one_writer() { Hold::Early } else { hold };
    let ids: Vec<_> = orders.iter().map(|order| order.workflow).collect();
    let claims = orders.iter().filter(|order| matches!(order.command, Command::Claim { .. }));
    let claimed: BTreeSet<_> = claims.map(|order| order.workflow).collect();
    let known_steps = |id, head: &str| known.take(id, head).filter(|_| !claimed.contains(&id));
    let loaded = workflow_rows::lock_with(&mut tx, &ids, known_steps).await?;
    let (owners, hold) = owners(&mut tx, (&loaded, orders), &config.tiers, hold).await?;
    let decided = decide((loaded, owners), &config.tiers, orders);
    let wake = write(&mut tx, config, orders, (&decided, hold)).await?;
    tx.commit().await?;
    known.keep(decided.changed.into_iter().map(|(workflow, _)| workflow));
    Ok(Applied { outcomes: decided.outcomes, wake })
}

/// The owners of workflows, and whether what they use is locked now.
async fn owners(
    tx: &mut Tx,
    (loaded, orders): (&[Workflow], &[&Order]),
    tiers: &Tiers,
    hold: Hold,
) -> StoreResult<(Vec<Owner>, Hold)> {
    let users = || loaded.iter().map(|workflow| workflow.user_id);
    if let (Hold::Late, Some(last)) = (hold, orders.last()) {
        let owner_of: HashMap<_, _> = loaded.iter().map(|workflow| (workflow.id, workflow.user_id)).collect();
        let mut orders_of = HashMap::<_, i64>::with_capacity(loaded.len());
        for user in orders.iter().filter_map(|order| owner_of.get(&order.workflow)) {
            *orders_of.entry(*user).or_default() += 1;
        }
        let owners = agents::read(tx, users()).await?;
        let plenty = |owner: &Owner| {
            let theirs = orders_of.get(&owner.user_id).copied().unwrap_or_default();
            owner.agents(tiers, last.with.now).are_plenty(theirs)
        };
        if owners.iter().all(plenty) {
            return Ok((owners, Hold::Late));
        }
    }
    Ok((agents::lock(tx, users()).await?, Hold::Early))
}

/// What orders come to, before it is written.
struct Decided {
    outcomes: Vec<Outcome>,
    changed: Vec<(Workflow, Vec<Changes>)>,
    /// What the owners of these workflows used before, and use then.
    used: Vec<Use>,
    /// Outbox rows that lead nowhere.
    stray: Vec<String>,
}

fn decide((loaded, owners): (Vec<Workflow>, Vec<Owner>), tiers: &Tiers, orders: &[&Order]) -> Decided {
    let mut loaded: BTreeMap<_, (Workflow, Vec<Changes>)> = loaded.into_iter().map(|w| (w.id, (w, vec![]))).collect();
    let mut owners: BTreeMap<_, _> = owners.into_iter().map(|owner| (owner.user_id, owner)).collect();
    let mut used = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(orders.len());
    let mut stray = Vec::new();
    for order in orders {
        let Some((workflow, changes)) = loaded.get_mut(&order.workflow) else {
            // Erased while a step ran: the row that stood for the lease leads nowhere.
            if let Command::Claim { step } = &order.command {
                stray.push(Job::RunStep { workflow: order.workflow, step: step.clone() }.key());
            }
            outcomes.push(Err(Refusal::WrongState("there is no such workflow".into())));
            continue;
        };
        let owner = owners.entry(workflow.user_id).or_insert_with_key(|user| Owner::new(*user));
        let mut theirs = owner.agents(tiers, order.with.now);
        let before = theirs;
        let mut out = Changes::default();
        match theirs.give(workflow, order.command.clone(), &order.with, &mut out) {
            Ok(()) => {
                owner.in_use = theirs.in_use;
                let first = Use { user_id: owner.user_id, before, after: before.in_use };
                used.entry(owner.user_id).or_insert(first).after = theirs.in_use;
                outcomes.push(Ok(out.claim.clone()));
                changes.push(out);
            }
            Err(refusal) => {
                // A refused command has changed nothing, but it may have found a row that leads nowhere.
                stray.append(&mut out.delete);
                outcomes.push(Err(refusal));
            }
        }
    }
    let changed: Vec<_> = loaded.into_values().filter(|(_, changes)| !changes.is_empty()).collect();
    let is_changed = |used: &Use| changed.iter().any(|(workflow, _)| workflow.user_id == used.user_id);
    let used = used.into_values().filter(is_changed).collect();
    Decided { outcomes, changed, used, stray }
}

/// Writes it; whether the relay should look.
async fn write(
    tx: &mut Tx,
    config: &Config,
    orders: &[&Order],
    (decided, hold): (&Decided, Hold),
) -> StoreResult<bool> {
    let Some(now) = orders.last().map(|order| order.with.now) else { return Ok(false) };
    let Decided { changed, used, stray, .. } = decided;
    workflow_rows::save(tx, changed).await?;
    let last = |workflow: &Workflow| orders.iter().rev().find(|order| order.workflow == workflow.id);
    let mail_worthy = |w: &Workflow| matches!(w.status, WorkflowStatus::Completed | WorkflowStatus::Failed);
    let ended = changed.iter().filter(|(w, changes)| mail_worthy(w) && changes.iter().any(|c| c.ended));
    let ended: Vec<_> = ended.filter_map(|(workflow, _)| Some((workflow, &last(workflow)?.with))).collect();
    let announced = announce_ends(tx, config, &ended).await?;
    let in_use = match hold {
        Hold::Late => agents::settle(tx, used).await?,
        Hold::Early => {
            let in_use: Vec<_> = used.iter().map(|used| (used.user_id, used.after)).collect();
            agents::count(tx, &in_use).await?;
            in_use
        }
    };
    // Nobody can have locked their workflows first, since there are none any more: so only now.
    outbox::delete(tx, stray).await?;
    // Charges lock trials before subscriptions, each in the order of users; so must refunds.
    let mut refunds: Vec<_> = changed.iter().filter(|(_, changes)| changes.iter().any(|c| c.refund)).collect();
    refunds.sort_by_key(|(workflow, _)| (workflow.charged == Charged::Subscription, workflow.user_id));
    for (workflow, _) in refunds {
        if let Some(last) = last(workflow) {
            credits::refund(tx, workflow.user_id, workflow.id, workflow.charged, last.with.now).await?;
        }
    }
    let mut puts = changed.iter().flat_map(|(_, changes)| changes).flat_map(|changes| &changes.put);
    let put = puts.any(|(_, due)| outbox::is_soon(*due, now));
    let called = call(tx, config, &in_use, now).await?;
    Ok(put || announced || called)
}

/// Calls steps that wait for an agent, if any are free now. Most owners have none that wait, which costs nothing.
async fn call(tx: &mut Tx, config: &Config, in_use: &[(UserId, InUse)], now: DateTime<Utc>) -> StoreResult<bool> {
    let with_waiting: Vec<_> = in_use.iter().filter(|(_, in_use)| in_use.waiting > 0).map(|(user, _)| *user).collect();
    agents::let_in(tx, &config.tiers, with_waiting.into_iter(), now).await
}

/// The scope that a workflow's templates see.
pub async fn scope(tx: &mut Tx, workflow: WorkflowId, with_outputs: bool) -> StoreResult<Value> {
    let Some(origin) = crate::store::workflows::origin(tx, workflow).await? else { return Ok(Value::Null) };
    let mut steps = serde_json::Map::new();
    if with_outputs {
        for (step, output) in crate::store::workflows::outputs(tx, workflow).await? {
            steps.insert(step, serde_json::json!({ "output": output }));
        }
    }
    Ok(serde_json::json!({
        "intent": origin.intent,
        "context": origin.context,
        "user": {"email": origin.email, "full_name": origin.full_name, "username": origin.username},
        "steps": steps,
    }))
}
