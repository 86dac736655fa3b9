//! Which addresses a workflow may call: public ones, and no part of the network that the program itself runs in.
//!
//! A name is judged by the addresses it resolves to, at the moment of connecting and by the very addresses that are
//! then used, so a name that changes its mind gains nothing. An address written into a URL never gets to the resolver
//! and is judged in [`HttpRules::check_url`], which must see every URL, redirects included. To forbid one more
//! range: a line in [`V4`] or [`V6`].

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, redirect};
use url::{Host, Url};

/// What requests may reach, and how long they may take.
#[derive(Debug, Clone)]
pub struct HttpRules {
    /// Whether addresses that are not public may be called; for tests and trusted networks.
    pub allow_private: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a request may take, with its redirects and its answer.
    pub timeout: Duration,
    /// How many redirects are followed.
    pub max_redirects: usize,
}

/// Why a URL may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another scheme, or no host.
    #[error("only http and https can be called")]
    Scheme,
    /// Credentials in the URL end up in logs.
    #[error("a URL must not carry a user name or password")]
    Userinfo,
    /// The host is not public.
    #[error("{host} is {what}, which must not be called")]
    Address {
        /// The host as it was written.
        host: String,
        /// What sort of address it has.
        what: &'static str,
    },
}

impl HttpRules {
    /// The rules of the program: 5 s to connect, 5 minutes in all, 5 redirects.
    pub const fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_mins(5),
            max_redirects: 5,
        }
    }

    /// A client that keeps to these rules for everything but the URL itself, which [`Self::check_url`] has to see, and
    /// that follows no redirects on its own.
    pub fn client(&self) -> Result<Client, reqwest::Error> {
        Client::builder()
            .user_agent(concat!("autoos/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .dns_resolver(PublicResolver { allow_private: self.allow_private })
            .build()
    }

    /// Whether a URL may be called, as far as its text tells.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Userinfo);
        }
        let address = match url.host().ok_or(Refused::Scheme)? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return Ok(()),
        };
        match forbidden(address) {
            Some(what) if !self.allow_private => Err(Refused::Address { host: address.to_string(), what }),
            _ => Ok(()),
        }
    }
}

/// Resolves names, and leaves out what must not be called.
struct PublicResolver {
    allow_private: bool,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move { look_up(name.as_str(), allow_private).await })
    }
}

async fn look_up(host: &str, allow_private: bool) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
    let allowed = if allow_private { found } else { public_only(host, found)? };
    Ok(Box::new(allowed.into_iter()))
}

fn public_only(host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let what = found.iter().find_map(|address| forbidden(address.ip()));
    let public: Vec<_> = found.into_iter().filter(|address| forbidden(address.ip()).is_none()).collect();
    match what {
        Some(what) if public.is_empty() => Err(Refused::Address { host: host.to_owned(), what }),
        _ => Ok(public),
    }
}

/// The ranges of IPv4 that are not public, from the IANA registry of special-purpose addresses.
const V4: [(Ipv4Addr, u32, &str); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8, "an unspecified address"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's shared address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata address"),
    (Ipv4Addr::new(169, 254, 169, 254), 32, "a cloud's metadata address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a protocol's own address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay's address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// Ranges of IPv6 by name; what is in none of them and outside `2000::/3` is forbidden as well.
const V6: [(Ipv6Addr, u32, &str); 13] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address in disguise"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "an IPv4 address in disguise"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "an IPv4 address in disguise"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a protocol's own address"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "an address for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "an IPv4 address in disguise"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "an address for documentation"),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, "a cloud's metadata address"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
];

/// The prefix `64:ff9b::/96`, under which a network that has only IPv6 reaches IPv4.
const NAT64: u128 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();

/// What sort of address it is, if it must not be called.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => match wrapped_v4(address) {
            Some(inner) => forbidden_v4(inner),
            None => forbidden_v6(address),
        },
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |base: Ipv4Addr, length: u32| (address.to_bits() ^ base.to_bits()).leading_zeros() >= length;
    V4.iter().find(|(base, length, _)| within(*base, *length)).map(|(_, _, what)| *what)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |base: Ipv6Addr, length: u32| (address.to_bits() ^ base.to_bits()).leading_zeros() >= length;
    let named = V6.iter().find(|(base, length, _)| within(*base, *length)).map(|(_, _, what)| *what);
    let global = within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    named.or((!global).then_some("a reserved address"))
}

/// The IPv4 address that the packets would really go to.
fn wrapped_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = address.to_bits() >> 32 == NAT64 >> 32;
    address.to_ipv4_mapped().or_else(|| nat64.then(|| Ipv4Addr::from_bits(address.to_bits() as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_public(address: &str) -> bool {
        forbidden(address.parse().unwrap()).is_none()
    }

    fn strict() -> HttpRules {
        HttpRules { allow_private: false, ..crate::actions::tests::lenient_rules() }
    }

    fn check(rules: &HttpRules, url: &str) -> Result<(), Refused> {
        rules.check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn public_addresses_may_be_called() {
        let addresses = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
            169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
            223.255.255.255 2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450::1 ::ffff:8.8.8.8 \
            64:ff9b::8.8.8.8";
        for address in addresses.split_whitespace() {
            assert!(is_public(address), "{address}");
        }
    }

    #[test]
    fn addresses_of_ipv4_that_are_not_public_are_refused() {
        let addresses = "0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1 \
            127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 \
            192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 \
            203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255";
        for address in addresses.split_whitespace() {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn addresses_of_ipv6_that_are_not_public_are_refused() {
        let addresses = ":: ::1 ::2 100::1 2001:db8::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fdff:ffff::1 fe80::1 \
            febf::1 fec0::1 ff02::1";
        for address in addresses.split_whitespace() {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn a_private_address_in_the_clothes_of_ipv6_is_refused() {
        let addresses = "::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::127.0.0.1 ::10.0.0.1 2002:7f00:1:: \
            2002:a00:1:: 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::10.0.0.1 2001::1 \
            2001:0:4136:e378:8000:63bf:f5ff:fffe";
        for address in addresses.split_whitespace() {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_judged_however_it_is_written() {
        for host in
            ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "10.0.0.1."]
        {
            let url = format!("http://{host}:8080/path");
            assert!(matches!(check(&strict(), &url), Err(Refused::Address { .. })), "{url}");
            assert_eq!(check(&crate::actions::tests::lenient_rules(), &url), Ok(()), "{url}");
        }
        assert_eq!(check(&strict(), "https://1.1.1.1/"), Ok(()));
        assert_eq!(check(&strict(), "https://example.com/"), Ok(()));
    }

    #[test]
    fn only_plain_http_and_https_urls_are_called() {
        assert_eq!(check(&strict(), "ftp://example.com/"), Err(Refused::Scheme));
        assert_eq!(check(&strict(), "file:///etc/passwd"), Err(Refused::Scheme));
        assert_eq!(check(&strict(), "https://ada:secret@example.com/"), Err(Refused::Userinfo));
        assert_eq!(check(&strict(), "https://ada@example.com/"), Err(Refused::Userinfo));
    }

    #[test]
    fn of_several_addresses_only_the_public_ones_are_used() {
        let addresses =
            |list: &[&str]| list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect::<Vec<_>>();
        let mixed = addresses(&["10.0.0.1", "1.1.1.1", "::1"]);
        assert_eq!(public_only("x.example", mixed), Ok(addresses(&["1.1.1.1"])));
        let none = public_only("x.example", addresses(&["10.0.0.1", "::1"]));
        assert_eq!(none, Err(Refused::Address { host: "x.example".into(), what: "a private address" }));
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_by_the_resolver() {
        let resolver = PublicResolver { allow_private: false };
        let error = resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.downcast_ref::<Refused>().is_some(), "{error}");
    }
}
