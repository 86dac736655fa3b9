//! What is limited by rate and by how much: the windows that a tier gives. `shared::limiter` does the counting.

use chrono::TimeDelta;
use shared::domain::tier::Limits;
use shared::ids::UserId;
use shared::limiter::Window;

/// What is counted, per user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Submitting intents.
    Intents,
    /// Everything else that needs a token.
    Requests,
}

impl Class {
    /// The windows that all have to have room.
    pub fn windows(self, limits: &Limits) -> Vec<Window> {
        let minute = |limit| Window { length: TimeDelta::minutes(1), limit };
        let hour = |limit| Window { length: TimeDelta::hours(1), limit };
        match self {
            Self::Intents => vec![minute(limits.intents_per_minute), hour(limits.intents_per_hour)],
            Self::Requests => vec![minute(limits.requests_per_minute)],
        }
    }

    /// What the limiter calls the user's log.
    pub fn key(self, user: UserId) -> String {
        match self {
            Self::Intents => format!("intents:{user}"),
            Self::Requests => format!("requests:{user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::tier::{Tier, Tiers};

    use super::*;

    #[test]
    fn a_tier_limits_intents_by_minute_and_hour_and_requests_by_minute() {
        let tiers = Tiers::default();
        let windows = |class: Class, tier| {
            let windows = class.windows(tiers.limits(tier));
            windows.iter().map(|w| (w.length.num_seconds(), w.limit)).collect::<Vec<_>>()
        };
        assert_eq!(windows(Class::Intents, Tier::FreeTrial), [(60, 10), (3_600, 100)]);
        assert_eq!(windows(Class::Requests, Tier::FreeTrial), [(60, 600)]);
        assert_eq!(windows(Class::Intents, Tier::Enterprise), [(60, 1_000), (3_600, 100_000)]);
    }

    #[test]
    fn users_and_classes_are_counted_apart() {
        let at = "2026-01-15T09:00:00Z".parse().unwrap();
        let (ada, eve) = (UserId::new(at), UserId::new(at));
        assert_eq!(Class::Intents.key(ada), format!("intents:{ada}"));
        assert_ne!(Class::Intents.key(ada), Class::Intents.key(eve));
        assert_ne!(Class::Intents.key(ada), Class::Requests.key(ada));
    }
}
