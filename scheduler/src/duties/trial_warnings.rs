//! Tells people that their trial will end, and that it has.
//!
//! A mail's occasion holds the end of the trial, so each is decided on once per trial end, and a trial that is extended
//! is warned of again. After downtime only the warning that fits the days left is sent, not those that were missed.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use shared::email::{Mail, TrialEnded, TrialEnding};
use shared::services::Services;
use shared::store::StoreResult;
use shared::store::credits::{self, EndingTrial};

use super::DutyError;
use super::notices::{self, Notice, days_left};

/// Warnings are sent this many days before the end.
const WARNINGS: [i64; 3] = [7, 3, 1];
/// The first of them.
const AHEAD: TimeDelta = TimeDelta::days(WARNINGS[0]);
/// An end that is longer ago is no news any more.
const ENDED_WITHIN: TimeDelta = TimeDelta::days(7);

/// Decides on the mails that are due.
pub async fn run(services: &Services, now: DateTime<Utc>) -> Result<String, DutyError> {
    let put = notices::put(services, &due(services, now).await?, now).await?;
    Ok(format!("{put} mails"))
}

/// Every mail that should have been decided on by now.
async fn due(services: &Services, now: DateTime<Utc>) -> StoreResult<Vec<Notice>> {
    let mut tx = services.db.read().await?;
    let ending = credits::trials_ending(&mut tx, now, now + AHEAD).await?;
    let ended = credits::trials_ending(&mut tx, now - ENDED_WITHIN, now).await?;
    let link = services.config.plans_link();
    let warnings = ending.into_iter().filter_map(|trial| warning(trial, &link, now));
    Ok(warnings.chain(ended.into_iter().map(|trial| farewell(trial, &link))).collect())
}

fn warning(trial: EndingTrial, link: &str, now: DateTime<Utc>) -> Option<Notice> {
    let days_left = days_left(trial.ends_at, now);
    let warning = WARNINGS.into_iter().filter(|days| *days >= days_left).min()?;
    let occasion = occasion(&warning.to_string(), trial.ends_at);
    let mail = Mail::TrialEnding(TrialEnding {
        name: trial.full_name,
        link: link.into(),
        days_left,
        ends_at: trial.ends_at,
        credits_left: trial.credits,
    });
    Some(Notice { user: trial.user_id, address: trial.email, mail, occasion })
}

fn farewell(trial: EndingTrial, link: &str) -> Notice {
    let mail = Mail::TrialEnded(TrialEnded { name: trial.full_name, link: link.into(), ended_at: trial.ends_at });
    Notice { user: trial.user_id, address: trial.email, mail, occasion: occasion("ended", trial.ends_at) }
}

fn occasion(what: &str, end: DateTime<Utc>) -> String {
    format!("{what}:{}", end.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use shared::ids::UserId;

    use super::*;

    fn warned_at(now: &str) -> (i64, String) {
        let ends_at = "2026-02-14T09:00:00Z".parse().unwrap();
        let now = now.parse().unwrap();
        let (email, full_name) = ("ada@example.com".into(), "Ada".into());
        let trial = EndingTrial { user_id: UserId::new(now), ends_at, credits: 4, email, full_name };
        let notice = warning(trial, "https://autoos.example/", now).unwrap();
        let Mail::TrialEnding(mail) = notice.mail else { panic!("another mail") };
        (mail.days_left, notice.occasion)
    }

    #[test]
    fn each_warning_begins_when_as_many_days_are_left() {
        let occasion = |days: i64| format!("{days}:2026-02-14T09:00:00Z");
        assert_eq!(warned_at("2026-02-07T09:00:00Z"), (7, occasion(7)));
        assert_eq!(warned_at("2026-02-11T08:59:59Z"), (4, occasion(7)));
        assert_eq!(warned_at("2026-02-11T09:00:00Z"), (3, occasion(3)));
        assert_eq!(warned_at("2026-02-12T09:00:00Z"), (2, occasion(3)));
        assert_eq!(warned_at("2026-02-13T09:00:00Z"), (1, occasion(1)));
        assert_eq!(warned_at("2026-02-14T08:59:59.9Z"), (1, occasion(1)));
    }
}
