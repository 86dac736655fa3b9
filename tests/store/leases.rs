//! Leases: who still holds a step keeps it, who does not is told so.

use chrono::TimeDelta;
use shared::domain::workflow::Command;
use shared::job::Lane;
use shared::store::{outbox, workflows};

use super::{MANY, begin, claim, order, planned};
use crate::harness::engines::{MANY_AGENTS, both_engines};

both_engines! {
    async fn only_leases_that_are_still_held_are_extended(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        let (id, cancelled) = (planned(&app, ada, 3).await, planned(&app, ada, 1).await);
        claim(&app, id, "s000").await;
        claim(&app, id, "s001").await;
        claim(&app, cancelled, "s000").await;
        order(&app, cancelled, Command::Cancel).await;
        let until = app.clock.now() + TimeDelta::seconds(40);
        let step = |name: &str| name.to_owned();
        let held = [
            (id, step("s000"), 1),
            (id, step("s001"), 2),
            (id, step("s002"), 0),
            (id, step("none"), 1),
            (cancelled, step("s000"), 1),
        ];
        let mut tx = begin(&app).await;
        let kept = workflows::extend_leases(&mut tx, &held, until).await.expect("leases");
        assert_eq!(kept, [(id, step("s000"))]);
        tx.commit().await.expect("a commit");
        app.clock.advance(TimeDelta::seconds(39));
        let early = app.services.order(id, Command::Claim { step: step("s000") }, "engine".into()).await;
        assert!(early.expect("a store").is_err(), "the lease was extended");
        assert_eq!(claim(&app, id, "s001").await.at.number, 2, "this one was not");
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(claim(&app, id, "s000").await.at.number, 2);
    }

    async fn the_alarm_of_an_extended_lease_moves_with_it(app: App with MANY_AGENTS) {
        let ada = app.verified_user("ada@example.com").await;
        let id = planned(&app, ada, MANY).await;
        let mut held = Vec::new();
        for n in 0..MANY {
            let at = claim(&app, id, &format!("s{n:03}")).await.at;
            held.push((id, at.step, at.number));
        }
        let until = app.clock.now() + TimeDelta::seconds(40);
        let mut tx = begin(&app).await;
        assert_eq!(workflows::extend_leases(&mut tx, &held, until).await.expect("leases").len(), MANY);
        let mut due = async |at| outbox::take_due(&mut tx, Lane::Interactive, at, 1_000).await.expect("rows").len();
        assert_eq!(due(until - TimeDelta::microseconds(1)).await, 0);
        assert_eq!(due(until).await, MANY);
    }
}
