//! Where a request comes from, as far as that can be known.
//!
//! `X-Forwarded-For` is believed only as far as trusted proxies wrote it: each of them appends the address that it was
//! called from, so the list is read from its end, and only while the one who says it is trusted. All that stands before
//! is what strangers say of themselves.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use shared::config::TrustedProxies;
use shared::store::account_events::Origin;

use crate::App;
use crate::error::ApiError;

/// How much of a user agent is kept, in characters.
const AGENT_LENGTH: usize = 256;

/// The client of a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address; an IPv4 address is never shown as IPv6.
    pub address: IpAddr,
    /// What is throttled together: an IPv4 address, or the /64 that an IPv6 address is in, since whoever has one of its
    /// addresses has all of them.
    pub network: String,
    /// What it says it is, shortened.
    pub agent: Option<String>,
}

impl Client {
    /// The same as account events and sessions keep it.
    pub fn origin(&self) -> Origin {
        Origin { address: Some(self.address.to_string()), agent: self.agent.clone() }
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await?;
        let lines = parts.headers.get_all("x-forwarded-for").iter();
        let forwarded: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        let address = address(peer.ip(), &forwarded.join(","), &app.services.config.trusted_proxies);
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).chars().take(AGENT_LENGTH).collect());
        Ok(Self { address, network: network(address), agent })
    }
}

/// The first address, seen from here, that is not a trusted proxy; or the last one that could be read.
fn address(peer: IpAddr, forwarded: &str, trusted: &TrustedProxies) -> IpAddr {
    let mut address = peer.to_canonical();
    for entry in forwarded.rsplit(',') {
        if !trusted.contains(address) {
            break;
        }
        let Some(caller) = read(entry.trim()) else { break };
        address = caller;
    }
    address
}

/// An address, as proxies write it: also with a port, and IPv6 in brackets.
fn read(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &str, trusted: &str) -> String {
        address(peer.parse().unwrap(), forwarded, &trusted.parse().unwrap()).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = "10.0.0.0/8, 192.0.2.7, 2001:db8:ffff::/48";
        for (peer, forwarded, trusted, expected) in [
            // Nobody is trusted: what is forwarded is what a stranger says.
            ("203.0.113.9", "", "", "203.0.113.9"),
            ("203.0.113.9", "198.51.100.1", "", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "", "10.0.0.1"),
            // The peer is no proxy of ours.
            ("203.0.113.9", "198.51.100.1", proxies, "203.0.113.9"),
            ("192.0.2.8", "198.51.100.1", proxies, "192.0.2.8"),
            // One proxy, which appended to what the client had made up.
            ("10.0.0.1", "198.51.100.1", proxies, "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1", proxies, "198.51.100.1"),
            ("192.0.2.7", "10.0.0.2,198.51.100.1", proxies, "198.51.100.1"),
            // A chain of proxies.
            ("10.0.0.1", "1.1.1.1, 198.51.100.1, 192.0.2.7, 10.0.0.2", proxies, "198.51.100.1"),
            ("2001:db8:ffff::1", "2001:db8:1::5, 10.0.0.2", proxies, "2001:db8:1::5"),
            // Somebody within the trusted network itself.
            ("10.0.0.1", "10.0.0.9, 10.0.0.2", proxies, "10.0.0.9"),
            ("10.0.0.1", "", proxies, "10.0.0.1"),
            // What cannot be read ends the search at the last one that could.
            ("10.0.0.1", "unknown", proxies, "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, garbage, 10.0.0.2", proxies, "10.0.0.2"),
            ("10.0.0.1", "198.51.100.1,, 10.0.0.2", proxies, "10.0.0.2"),
            ("10.0.0.1", "198.51.100.1.5", proxies, "10.0.0.1"),
            ("10.0.0.1", "garbage, 198.51.100.1", proxies, "198.51.100.1"),
            // Forms that proxies write.
            ("10.0.0.1", "198.51.100.1:4711", proxies, "198.51.100.1"),
            ("10.0.0.1", "[2001:db8:1::5]:4711", proxies, "2001:db8:1::5"),
            ("10.0.0.1", "[2001:db8:1::5]", proxies, "2001:db8:1::5"),
            // IPv4 that came through an IPv6 socket.
            ("::ffff:10.0.0.1", "198.51.100.1", proxies, "198.51.100.1"),
            ("::ffff:203.0.113.9", "198.51.100.1", proxies, "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1, ::ffff:10.0.0.2", proxies, "198.51.100.1"),
            ("10.0.0.1", "::ffff:198.51.100.1", proxies, "198.51.100.1"),
        ] {
            assert_eq!(seen(peer, forwarded, trusted), expected, "{peer} with \"{forwarded}\", trusting \"{trusted}\"");
        }
    }

    #[test]
    fn an_ipv6_network_is_throttled_as_one_and_an_ipv4_address_alone() {
        for (address, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected);
        }
    }
}
