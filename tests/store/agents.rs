//! Sharing out agents: exact whatever happens at once, and whoever has waited longest is called first.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use shared::domain::payment::BillingCycle;
use shared::domain::status::{Priority, StepStatus};
use shared::domain::tier::{Tier, Tiers};
use shared::domain::workflow::{Agents, Attempt, Command};
use shared::ids::{UserId, WorkflowId};
use shared::job::{Job, Lane};
use shared::store::agents::Use;
use shared::store::usage::{self, InUse};
use shared::store::workflows::NewWorkflow;
use shared::store::{StoreError, Tx, agents, outbox, subscriptions};
use tokio::task::JoinSet;

use super::{MANY, accept, begin, claim, intent, order, parallel, planned};
use crate::harness::engines::{App, both_engines};

/// Workflows of one step each, made a second apart.
async fn single(app: &App, user: UserId, count: usize) -> Vec<WorkflowId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        app.clock.advance(TimeDelta::seconds(1));
        ids.push(planned(app, user, 1).await);
    }
    ids
}

fn claim_of() -> Command {
    Command::Claim { step: "s000".to_owned() }
}

/// Ends the first attempt of a workflow's only step.
async fn complete(app: &App, id: WorkflowId) {
    let at = Attempt { step: "s000".to_owned(), number: 1 };
    order(app, id, Command::Complete { at, output: json!({}) }).await;
}

async fn counts(app: &App, user: UserId) -> (i64, i64) {
    let in_use = usage::in_use(&mut begin(app).await, user).await.expect("a count");
    (in_use.agents, in_use.waiting)
}

/// Takes the steps that are due, the longest due first; gives their workflows.
async fn due(app: &App, at: DateTime<Utc>) -> Vec<WorkflowId> {
    let mut tx = begin(app).await;
    let jobs = outbox::take_due(&mut tx, Lane::Interactive, at, 1_000).await.expect("rows");
    tx.commit().await.expect("a commit");
    let workflow = |job| match job {
        Job::RunStep { workflow, .. } => Some(workflow),
        _ => None,
    };
    jobs.into_iter().filter_map(workflow).collect()
}

/// Calls waiting steps as far as the default limits allow.
async fn let_in(app: &App, users: &[UserId]) -> bool {
    let mut tx = begin(app).await;
    let called = agents::let_in(&mut tx, &Tiers::default(), users.iter().copied(), app.clock.now()).await;
    tx.commit().await.expect("a commit");
    called.expect("calls")
}

/// Gives a user a plan, without looking for steps that wait.
async fn buy(tx: &mut Tx, user: UserId, tier: Tier, now: DateTime<Utc>) {
    subscriptions::activate(tx, user, tier, BillingCycle::Monthly, now).await.expect("a period");
}

both_engines! {
    async fn of_many_claims_at_once_as_many_get_an_agent_as_there_are(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut waiting = single(&app, ada, 12).await;
        let mut done = 0;
        while !waiting.is_empty() {
            let mut claims = JoinSet::new();
            for id in waiting.iter().copied() {
                let services = app.services.clone();
                claims.spawn(async move { (id, services.order(id, claim_of(), "engine".to_owned()).await) });
            }
            let claims = claims.join_all().await.into_iter();
            let started = claims.filter(|(_, outcome)| matches!(outcome, Ok(Ok(Some(_))))).map(|(id, _)| id);
            let started: Vec<_> = started.collect();
            assert_eq!(started.len(), 2, "{done} are done");
            waiting.retain(|id| !started.contains(id));
            assert_eq!(counts(&app, ada).await, (2, waiting.len() as i64));
            let ends = started.iter().map(|id| complete(&app, *id));
            futures_util::future::join_all(ends).await;
            done += 2;
            app.check_invariants().await;
        }
        assert_eq!((done, counts(&app, ada).await), (12, (0, 0)));
    }

    async fn the_step_that_has_waited_longest_is_called_when_another_ends(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let ids = single(&app, ada, 5).await;
        let of_eve = single(&app, eve, 3).await;
        due(&app, app.clock.now()).await;
        for id in ids.iter().chain(&of_eve) {
            app.clock.advance(TimeDelta::seconds(1));
            order(&app, *id, claim_of()).await;
        }
        let (_, steps) = app.view(ids[2]).await;
        assert_eq!(steps[0].reason.as_deref(), Some("Waiting for a free agent: 2 of 2 busy"));
        assert_eq!((steps[0].status, steps[0].attempt), (StepStatus::Ready, 0));
        let now = app.clock.now();
        assert_eq!(due(&app, now).await, [], "nobody is called while all agents are busy");
        complete(&app, ids[1]).await;
        assert_eq!(due(&app, now).await, ids[2..3]);
        // It has been called; nobody else is for the same agent.
        order(&app, ids[4], Command::Pause).await;
        assert_eq!(due(&app, now).await, []);
        assert!(!let_in(&app, &[ada, eve]).await);
        claim(&app, ids[2], "s000").await;
        // Who paused has lost its place, and gets another behind the rest.
        complete(&app, ids[0]).await;
        assert_eq!(due(&app, now).await, ids[3..4]);
        order(&app, ids[4], Command::Resume).await;
        claim(&app, ids[3], "s000").await;
        assert_eq!((counts(&app, ada).await, counts(&app, eve).await), ((2, 1), (2, 1)));
        app.check_invariants().await;
    }

    async fn what_has_priority_is_due_earlier_once_it_is_called(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let running = single(&app, ada, 2).await;
        let mut ids = Vec::new();
        for priority in [Priority::Low, Priority::High] {
            let new = NewWorkflow { priority, ..intent(&app, ada, "a test") };
            let id = accept(&app, &new).await;
            order(&app, id, Command::Plan { plan: parallel(1), costs: vec![0], by: "given".to_owned() }).await;
            ids.push(id);
        }
        due(&app, app.clock.now()).await;
        for id in running.iter().chain(&ids) {
            app.clock.advance(TimeDelta::seconds(1));
            order(&app, *id, claim_of()).await;
        }
        // Both at once, so that both are called together.
        let mut tx = begin(&app).await;
        buy(&mut tx, ada, Tier::Student, app.clock.now()).await;
        tx.commit().await.expect("a commit");
        assert!(let_in(&app, &[ada]).await);
        assert_eq!(due(&app, app.clock.now()).await, [ids[1], ids[0]]);
    }

    async fn a_plan_with_more_agents_lets_waiting_steps_in(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 10).await;
        for step in 0..10 {
            order(&app, id, Command::Claim { step: format!("s{step:03}") }).await;
        }
        assert_eq!(counts(&app, ada).await, (2, 8));
        let now = app.clock.now();
        let mut tx = begin(&app).await;
        buy(&mut tx, ada, Tier::Student, now).await;
        let asked = outbox::take_due(&mut tx, Lane::Interactive, now, 10).await.expect("rows");
        assert_eq!(asked, [Job::LetIn { user: ada }]);
        tx.commit().await.expect("a commit");
        assert!(let_in(&app, &[ada]).await);
        assert_eq!(due(&app, now).await.len(), 3);
        // Under way, they are not called again.
        assert!(!let_in(&app, &[ada]).await);
        // Without a limit all are.
        let mut tx = begin(&app).await;
        buy(&mut tx, ada, Tier::Enterprise, now).await;
        tx.commit().await.expect("a commit");
        assert!(let_in(&app, &[ada]).await);
        assert_eq!(due(&app, now).await.len(), 5);
    }

    async fn an_upgrade_is_noticed_by_a_job_and_all_comes_to_its_end(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 10).await;
        let mut held = Vec::new();
        for step in 0..10 {
            let claimed = order(&app, id, Command::Claim { step: format!("s{step:03}") }).await;
            held.extend(claimed.map(|claim| claim.at));
        }
        let mut tx = begin(&app).await;
        buy(&mut tx, ada, Tier::Student, app.clock.now()).await;
        tx.commit().await.expect("a commit");
        // Five may run at once now, and what ends lets the next one in.
        app.run_until_idle().await;
        let (_, steps) = app.view(id).await;
        let completed = steps.iter().filter(|step| step.status == StepStatus::Completed).count();
        assert_eq!((completed, counts(&app, ada).await), (8, (2, 0)));
        for at in held {
            order(&app, id, Command::Complete { at, output: json!({}) }).await;
        }
        assert_eq!(counts(&app, ada).await, (0, 0));
        app.check_invariants().await;
    }

    async fn many_accounts_are_locked_counted_and_called_at_once(app: App) {
        let (mut users, mut waiting) = (Vec::new(), Vec::new());
        for number in 0..MANY {
            let user = app.verified_user(&format!("user{number}@example.com")).await;
            let id = planned(&app, user, 3).await;
            for step in ["s000", "s001", "s002"] {
                order(&app, id, Command::Claim { step: step.to_owned() }).await;
            }
            users.push(user);
            waiting.push(id);
        }
        let mut tx = begin(&app).await;
        let unknown = UserId::new(app.clock.now());
        let all = users.iter().rev().chain([&unknown]).chain(&users).copied();
        let owners = agents::lock(&mut tx, all).await.expect("rows");
        users.sort_unstable();
        assert_eq!(owners.iter().map(|owner| owner.user_id).collect::<Vec<_>>(), users);
        let in_use = InUse { agents: 2, waiting: 1, storage: 0 };
        assert!(owners.iter().all(|owner| owner.in_use == in_use), "{owners:?}");
        // As if one step of each had ended.
        let fewer: Vec<_> = users.iter().map(|user| (*user, InUse { agents: 1, ..in_use })).collect();
        agents::count(&mut tx, &fewer).await.expect("a count");
        tx.commit().await.expect("a commit");
        assert!(let_in(&app, &users).await);
        let mut called = due(&app, app.clock.now()).await;
        called.sort_unstable();
        waiting.sort_unstable();
        assert_eq!(called, waiting);
    }

    async fn what_was_decided_without_a_lock_is_added_unless_it_is_not_right_any_more(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let in_use = |agents, waiting| InUse { agents, waiting, storage: 10 * agents };
        let settle = async |(before, after), now| {
            let mut tx = begin(&app).await;
            agents::count(&mut tx, &[(ada, now)]).await.expect("a count");
            let before = Agents { limit: Some(2), in_use: in_use(before, 0) };
            let settled = agents::settle(&mut tx, &[Use { user_id: ada, before, after: in_use(after, 0) }]).await;
            let stored = usage::in_use(&mut tx, ada).await.expect("a count");
            match settled {
                Ok(settled) => {
                    assert_eq!(settled, [(ada, stored)]);
                    Some((stored.agents, stored.waiting, stored.storage))
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Conflict(agents::AGENTS)), "{error}");
                    assert_eq!(stored, now);
                    None
                }
            }
        };
        let (starts, ends) = ((0, 1), (1, 0));
        assert_eq!(settle(starts, in_use(0, 0)).await, Some((1, 0, 10)), "nobody has changed it");
        assert_eq!(settle(starts, in_use(1, 0)).await, Some((2, 0, 20)), "the last agent was free");
        assert_eq!(settle(starts, in_use(2, 0)).await, None, "there are no more");
        assert_eq!(settle(starts, in_use(1, 1)).await, None, "somebody was first");
        assert_eq!(settle(ends, in_use(2, 0)).await, Some((1, 0, 10)));
        assert_eq!(settle(ends, in_use(2, 1)).await, None, "somebody is to be called");
    }

    async fn what_was_counted_too_low_holds_nobody_up(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, 1).await;
        claim(&app, id, "s000").await;
        let mut tx = begin(&app).await;
        agents::count(&mut tx, &[(ada, InUse::default())]).await.expect("a count");
        tx.commit().await.expect("a commit");
        complete(&app, id).await;
        assert_eq!(counts(&app, ada).await, (0, 0));
    }
}
