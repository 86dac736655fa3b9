//! What admins do to accounts: the last one stays, filters find what they say, and what is closed tells nothing.

use chrono::TimeDelta;
use shared::domain::tier::Tier;
use shared::ids::{UserId, WorkflowId};
use shared::store::Tx;
use shared::store::accounts::{self, Filter};
use shared::store::credits::{self, Subscription};
use shared::store::mfa;
use shared::store::users::{self, ProfileChange, User};

use super::begin;
use crate::harness::engines::{App, both_engines};

async fn read(tx: &mut Tx, id: UserId) -> User {
    users::by_id(tx, id).await.expect("a row").expect("an account")
}

async fn set_role(tx: &mut Tx, id: UserId, role: &str) -> bool {
    accounts::set_role(tx, id, role).await.expect("an answer")
}

async fn set_disabled(tx: &mut Tx, id: UserId, disabled: bool) -> bool {
    accounts::set_disabled(tx, id, disabled).await.expect("an answer")
}

async fn close(app: &App, tx: &mut Tx, id: UserId) -> bool {
    accounts::anonymise(tx, id, app.clock.now()).await.expect("an answer")
}

/// A way in which an admin may go.
#[derive(Debug, Clone, Copy)]
enum Way {
    Demoted,
    Shut,
    Closed,
}

/// Lets an admin go, in a transaction of its own; false if this would be the last one.
async fn go(app: &App, id: UserId, way: Way) -> bool {
    let mut tx = begin(app).await;
    let gone = match way {
        Way::Demoted => set_role(&mut tx, id, "student").await,
        Way::Shut => set_disabled(&mut tx, id, true).await,
        Way::Closed => close(app, &mut tx, id).await,
    };
    tx.commit().await.expect("a commit");
    gone
}

/// Two enabled admins, and no others.
async fn two_admins(app: &App, ids: [UserId; 2]) {
    let mut tx = begin(app).await;
    for id in ids {
        assert!(set_role(&mut tx, id, "admin").await);
        assert!(set_disabled(&mut tx, id, false).await);
    }
    tx.commit().await.expect("a commit");
}

async fn rename(tx: &mut Tx, id: UserId, name: &str) {
    let change = ProfileChange { full_name: Some(name.to_owned()), ..ProfileChange::default() };
    assert!(users::update_profile(tx, id, &change).await.expect("a change"));
}

async fn list(tx: &mut Tx, filter: &Filter) -> Vec<UserId> {
    let found = accounts::list(tx, filter, 100).await.expect("accounts");
    found.into_iter().map(|account| account.user.id).collect()
}

fn text(text: &str) -> Filter {
    Filter { text: Some(text.to_owned()), ..Filter::default() }
}

fn role(role: &str) -> Filter {
    Filter { role: Some(role.to_owned()), ..Filter::default() }
}

fn status(status: &str) -> Filter {
    Filter { status: Some(status.to_owned()), ..Filter::default() }
}

/// Accounts whose full names are these, the newest last.
async fn named(app: &App, names: &[&str]) -> Vec<UserId> {
    let mut ids = Vec::new();
    for (number, name) in names.iter().enumerate() {
        app.clock.advance(TimeDelta::seconds(1));
        let id = app.verified_user(&format!("u{number}@example.com")).await;
        let mut tx = begin(app).await;
        rename(&mut tx, id, name).await;
        tx.commit().await.expect("a commit");
        ids.push(id);
    }
    ids
}

both_engines! {
    async fn the_last_enabled_admin_stays_one(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        assert!(set_role(&mut tx, ada, "admin").await);
        assert!(!set_role(&mut tx, ada, "student").await);
        assert!(set_role(&mut tx, ada, "admin").await, "nothing is lost by this");
        assert!(set_role(&mut tx, eve, "admin").await);
        assert!(set_role(&mut tx, ada, "student").await);
        assert_eq!(read(&mut tx, ada).await.role, "student");
        set_role(&mut tx, ada, "admin").await;
        assert!(set_disabled(&mut tx, ada, true).await);
        assert!(!set_role(&mut tx, eve, "student").await, "the other one is disabled");
        assert!(set_role(&mut tx, ada, "student").await, "a disabled one is none that would be missed");
        let nobody = UserId::new(app.clock.now());
        assert!(!set_role(&mut tx, nobody, "admin").await);
    }

    async fn the_last_enabled_admin_is_neither_shut_nor_closed(app: App) {
        let ada = app.verified_user("ada@example.com").await;
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        set_role(&mut tx, ada, "admin").await;
        assert!(!set_disabled(&mut tx, ada, true).await);
        assert!(!close(&app, &mut tx, ada).await);
        assert!(set_disabled(&mut tx, ada, false).await);
        assert!(set_disabled(&mut tx, eve, true).await, "of others there may be none");
        assert!(read(&mut tx, eve).await.disabled);
        assert!(!set_disabled(&mut tx, ada, true).await);
        set_role(&mut tx, eve, "admin").await;
        assert!(!close(&app, &mut tx, ada).await, "the other one is disabled");
        assert!(set_disabled(&mut tx, eve, false).await);
        assert!(!read(&mut tx, eve).await.disabled);
        assert!(close(&app, &mut tx, ada).await);
        assert!(!set_disabled(&mut tx, eve, true).await, "a closed one does not count");
        assert!(!set_disabled(&mut tx, UserId::new(app.clock.now()), true).await);
    }

    async fn of_two_admins_who_go_at_once_one_stays(app: App) {
        let ids = [app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await];
        let ways = [(Way::Demoted, Way::Demoted), (Way::Shut, Way::Shut), (Way::Demoted, Way::Shut)];
        for (one, other) in ways.into_iter().cycle().take(15).chain([(Way::Closed, Way::Closed)]) {
            two_admins(&app, ids).await;
            let (first, second) = tokio::join!(go(&app, ids[0], one), go(&app, ids[1], other));
            assert_ne!(first, second, "{one:?}, {other:?}");
            let admins = Filter { role: Some("admin".to_owned()), status: Some("active".to_owned()), ..Filter::default() };
            assert_eq!(list(&mut begin(&app).await, &admins).await.len(), 1, "{one:?}, {other:?}");
        }
    }

    async fn nothing_tells_whose_a_closed_account_was(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let mut tx = begin(&app).await;
        let user = User {
            id: UserId::new(now),
            email: "Grace@Example.com".to_owned(),
            username: "Grace".to_owned(),
            password_hash: "grace-hash".to_owned(),
            full_name: "Grace Hopper".to_owned(),
            organization: Some("Grace's Navy".to_owned()),
            student_id: Some("grace-1".to_owned()),
            employee_id: Some("grace-2".to_owned()),
            ..read(&mut tx, ada).await
        };
        assert!(users::insert(&mut tx, &user).await.expect("an account"));
        assert!(mfa::set_secret(&mut tx, user.id, "sealed").await.expect("a secret"));
        assert!(mfa::enable(&mut tx, user.id, ("sealed", 1)).await.expect("a change"));
        assert!(close(&app, &mut tx, user.id).await);
        let closed = read(&mut tx, user.id).await;
        let shown = format!("{closed:?}").to_lowercase();
        assert!(!shown.contains("grace") && !shown.contains("hopper"), "{shown}");
        assert_eq!((closed.password_hash.as_str(), closed.deleted_at), ("", Some(now)));
        let off = [closed.email_verified, closed.mfa_enabled, closed.mail_on_finish, closed.mail_on_failure];
        assert_eq!((off, closed.mail_on_signin, closed.disabled), ([false; 4], false, true));
        assert_eq!((closed.role, closed.created_at), (user.role.clone(), user.created_at));
        assert_eq!(mfa::secret(&mut tx, user.id).await.expect("no row"), None);
        assert!(users::by_email(&mut tx, "grace@example.com").await.expect("no row").is_none());
        assert_eq!(read(&mut tx, ada).await.email, "ada@example.com");

        // Nothing opens it again, and its address and user name are free.
        assert!(!close(&app, &mut tx, user.id).await);
        assert!(!set_disabled(&mut tx, user.id, false).await);
        assert!(!set_role(&mut tx, user.id, "admin").await);
        let again = User { id: UserId::new(now), ..user };
        assert!(users::insert(&mut tx, &again).await.expect("an account"));
    }

    async fn a_closed_admin_is_none_any_more(app: App) {
        let ids = [app.verified_user("ada@example.com").await, app.verified_user("eve@example.com").await];
        two_admins(&app, ids).await;
        let mut tx = begin(&app).await;
        assert!(close(&app, &mut tx, ids[0]).await);
        assert_eq!(read(&mut tx, ids[0]).await.role, "professional");
        assert_eq!(list(&mut tx, &role("admin")).await, [ids[1]]);
    }

    async fn accounts_are_found_by_any_part_of_their_names_and_addresses(app: App) {
        let ids = named(&app, &["Ada Lovelace", "100% sure", "snake_case", "so!", "Éva Szabó", "back\\slash"]).await;
        let mut tx = begin(&app).await;
        let all = vec![5, 4, 3, 2, 1, 0];
        for (asked, found) in [
            ("", all.clone()),
            ("example.com", all),
            ("U1@EXAMPLE", vec![1]),
            ("u1-example", vec![1]),
            ("lOVElace", vec![0]),
            (" Ada Lovelace ", vec![0]),
            // These mean something to the engines, and nothing here.
            ("%", vec![1]),
            ("0% s", vec![1]),
            ("_", vec![2]),
            ("e_c", vec![2]),
            ("!", vec![3]),
            ("!!", vec![]),
            ("!%", vec![]),
            ("\\", vec![5]),
            ("a%e", vec![]),
            ("Éva", vec![4]),
            ("'; drop table users; --", vec![]),
        ] {
            let found: Vec<_> = found.into_iter().map(|number: usize| ids[number]).collect();
            assert_eq!(list(&mut tx, &text(asked)).await, found, "{asked}");
        }
    }

    async fn accounts_are_found_by_role_and_state(app: App) {
        let ids = named(&app, &["Ada", "Bob", "Eve", "Joe", "Sue"]).await;
        let mut tx = begin(&app).await;
        set_role(&mut tx, ids[0], "admin").await;
        set_role(&mut tx, ids[1], "student").await;
        set_disabled(&mut tx, ids[1], true).await;
        close(&app, &mut tx, ids[2]).await;
        let fresh = User {
            id: UserId::new(app.clock.now() + TimeDelta::seconds(1)),
            email: "new@example.com".to_owned(),
            username: "new".to_owned(),
            email_verified: false,
            ..read(&mut tx, ids[3]).await
        };
        assert!(users::insert(&mut tx, &fresh).await.expect("an account"));
        let both = |one: Filter, other: Filter| Filter { status: other.status, text: other.text, ..one };
        for (filter, found) in [
            (role("admin"), vec![ids[0]]),
            (role("student"), vec![ids[1]]),
            (role("professional"), vec![fresh.id, ids[4], ids[3], ids[2]]),
            (status("active"), vec![ids[4], ids[3], ids[0]]),
            (status("unverified"), vec![fresh.id]),
            (status("disabled"), vec![ids[1]]),
            (status("deleted"), vec![ids[2]]),
            (both(role("professional"), status("active")), vec![ids[4], ids[3]]),
            (both(role("student"), status("active")), vec![]),
            (both(role("professional"), text("sue")), vec![ids[4]]),
        ] {
            assert_eq!(list(&mut tx, &filter).await, found, "{filter:?}");
        }
        assert_eq!(accounts::STATES.len(), 4, "each of them was asked for");
    }

    async fn pages_of_accounts_follow_each_other_and_miss_none(app: App) {
        let ids = named(&app, &["Ada", "Bob", "Eve", "Joe", "Sue"]).await;
        let (mut tx, mut seen, mut before) = (begin(&app).await, Vec::new(), None);
        loop {
            let filter = Filter { before, ..text("example") };
            let page = accounts::list(&mut tx, &filter, 2).await.expect("accounts");
            let Some(last) = page.last() else { break };
            before = Some(last.user.id);
            seen.push(page.into_iter().map(|account| account.user.id).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec![ids[4], ids[3]], vec![ids[2], ids[1]], vec![ids[0]]]);
    }

    async fn an_account_comes_with_its_subscription_until_that_is_ended(app: App) {
        let (ada, now) = (app.verified_user("ada@example.com").await, app.clock.now());
        let eve = app.verified_user("eve@example.com").await;
        let mut tx = begin(&app).await;
        let running = Subscription::new(Tier::Employee, "active", now + TimeDelta::days(1));
        let subscription = Subscription { workflows_used: 3, ..running };
        for user in [ada, eve] {
            credits::put_subscription(&mut tx, user, &subscription, now).await.expect("a subscription");
        }
        accounts::end_entitlement(&mut tx, eve, now).await.expect("a change");
        let mut get = async |id| accounts::get(&mut tx, id).await.expect("a row");
        let (one, other) = (get(ada).await.expect("an account"), get(eve).await.expect("an account"));
        assert!(get(UserId::new(now)).await.is_none());
        let told = (one.user.email.as_str(), one.tier, one.subscription_status.as_deref(), one.current_period_end);
        let period_end = Some(subscription.current_period_end);
        assert_eq!(told, ("ada@example.com", Some(Tier::Employee), Some("active"), period_end));
        assert_eq!((one.entitled(now), one.entitled(now + TimeDelta::days(1))), (Tier::Employee, Tier::FreeTrial));
        assert_eq!((other.subscription_status.as_deref(), other.entitled(now)), (Some("canceled"), Tier::FreeTrial));
        let trial = async |tx: &mut Tx, user| credits::trial(tx, user).await.expect("a row").expect("a trial");
        assert!(trial(&mut tx, ada).await.ends_at > now);
        assert_eq!(trial(&mut tx, eve).await.ends_at, now);
        let wanted = [(eve, WorkflowId::new(now))];
        assert_eq!(credits::charge_trials(&mut tx, &wanted, None, now).await.expect("no charge"), [None]);
        let listed = accounts::list(&mut tx, &text("ada@"), 1).await.expect("accounts").remove(0);
        assert_eq!(listed.entitled(now), Tier::Employee);
    }
}
