//! The account audit: what is recorded is read back by any filter, and where an owner was can be forgotten.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::ids::{SessionId, UserId};
use shared::store::Tx;
use shared::store::account_events::{self, Event, EventKind, Filter, Origin, Stored};

use super::begin;
use crate::harness::engines::both_engines;

const PHONE: &str = "Mozilla/5.0 (a phone)";

fn origin() -> Origin {
    Origin { address: Some("198.51.100.7".to_owned()), agent: Some(PHONE.to_owned()) }
}

/// Something that was done to an account from somewhere.
fn event(kind: EventKind, actor: &str, user: UserId, at: DateTime<Utc>) -> Event {
    Event { origin: origin(), ..Event::new(kind, actor.to_owned(), user, at) }
}

async fn record(tx: &mut Tx, event: &Event) {
    account_events::record(tx, event).await.expect("an event");
}

async fn list(tx: &mut Tx, filter: Filter) -> Vec<Stored> {
    account_events::list(tx, &filter, 100).await.expect("events")
}

/// What was done, by whom, and whether it is known from where.
fn told(events: &[Stored]) -> Vec<(&str, &str, bool)> {
    let known = |event: &Stored| event.address.is_some() || event.user_agent.is_some();
    events.iter().map(|event| (event.kind.as_str(), event.actor.as_str(), known(event))).collect()
}

both_engines! {
    async fn an_event_is_read_back_as_it_was_recorded(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let (session, detail) = (SessionId::new(now), json!({"from": "student", "to": "admin"}));
        let whole = Event {
            session: Some(session),
            detail: detail.clone(),
            ..event(EventKind::RoleChanged, "operator", ada, now)
        };
        let later = now + TimeDelta::seconds(1);
        let bare = Event { user: None, ..Event::new(EventKind::SignInFailed, "anonymous".to_owned(), ada, later) };
        let mut tx = begin(&app).await;
        record(&mut tx, &whole).await;
        record(&mut tx, &bare).await;
        let events = list(&mut tx, Filter::default()).await;
        let [second, first] = &events[..] else { panic!("not two events: {events:?}") };
        assert_eq!((first.kind.as_str(), first.actor.as_str(), first.at), ("role_changed", "operator", now));
        assert_eq!((first.user_id, first.session_id), (Some(ada), Some(session)));
        let from = Origin { address: first.address.clone(), agent: first.user_agent.clone() };
        assert_eq!((from, &first.detail), (origin(), &detail));
        assert_eq!((second.kind.as_str(), second.actor.as_str(), second.at), ("sign_in_failed", "anonymous", later));
        assert_eq!((second.user_id, second.session_id, &second.detail), (None, None, &json!({})));
        assert_eq!((&second.address, &second.user_agent), (&None, &None));
    }

    async fn events_are_found_by_account_kind_and_actor_the_newest_first(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let mut tx = begin(&app).await;
        for (kind, actor, user) in [
            (EventKind::SignedUp, "user:ada", ada),
            (EventKind::SignedUp, "user:eve", eve),
            (EventKind::Disabled, "admin:eve", ada),
            (EventKind::Enabled, "admin:eve", ada),
        ] {
            app.clock.advance(TimeDelta::seconds(1));
            record(&mut tx, &event(kind, actor, user, app.clock.now())).await;
        }
        let named = |text: &str| Some(text.to_owned());
        for (filter, found) in [
            (Filter::default(), vec!["enabled", "disabled", "signed_up", "signed_up"]),
            (Filter { user: Some(ada), ..Filter::default() }, vec!["enabled", "disabled", "signed_up"]),
            (Filter { kind: named("signed_up"), ..Filter::default() }, vec!["signed_up", "signed_up"]),
            (Filter { actor: named("admin:eve"), ..Filter::default() }, vec!["enabled", "disabled"]),
            (Filter { user: Some(ada), kind: named("signed_up"), ..Filter::default() }, vec!["signed_up"]),
            (Filter { user: Some(eve), actor: named("admin:eve"), ..Filter::default() }, vec![]),
            (Filter { kind: named("signed"), ..Filter::default() }, vec![]),
        ] {
            let events = list(&mut tx, filter.clone()).await;
            assert_eq!(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), found, "{filter:?}");
        }
    }

    async fn pages_of_events_follow_each_other_and_miss_none(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let mut tx = begin(&app).await;
        for number in 0..7 {
            app.clock.advance(TimeDelta::milliseconds(1));
            let event = Event { detail: json!({"n": number}), ..event(EventKind::SignedIn, "user", ada, app.clock.now()) };
            record(&mut tx, &event).await;
        }
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let filter = Filter { user: Some(ada), before, ..Filter::default() };
            let page = account_events::list(&mut tx, &filter, 3).await.expect("events");
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            assert!(page.len() <= 3);
            seen.extend(page.iter().map(|event| event.detail["n"].clone()));
        }
        assert_eq!(seen, (0..7).rev().map(Value::from).collect::<Vec<_>>());
    }

    async fn where_an_owner_was_is_forgotten_and_where_other_admins_were_is_not(app: App) {
        let (ada, eve) = (app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await);
        let (as_user, as_admin) = (format!("user:{ada}"), format!("admin:{ada}"));
        let mut tx = begin(&app).await;
        for (kind, actor, user) in [
            (EventKind::SignedIn, as_user.as_str(), ada),
            (EventKind::SignInFailed, "anonymous", ada),
            (EventKind::Disabled, "admin:root", ada),
            (EventKind::PasswordChanged, as_admin.as_str(), ada),
            (EventKind::Disabled, as_admin.as_str(), eve),
            (EventKind::SignedIn, "user:eve", eve),
        ] {
            app.clock.advance(TimeDelta::seconds(1));
            record(&mut tx, &event(kind, actor, user, app.clock.now())).await;
        }
        account_events::anonymise(&mut tx, ada).await.expect("a change");
        let events = list(&mut tx, Filter::default()).await;
        let expected = [
            ("signed_in", "user:eve", true),
            ("disabled", as_admin.as_str(), false),
            ("password_changed", as_admin.as_str(), false),
            ("disabled", "admin:root", true),
            ("sign_in_failed", "anonymous", false),
            ("signed_in", as_user.as_str(), false),
        ];
        assert_eq!(told(&events), expected);
    }
}
