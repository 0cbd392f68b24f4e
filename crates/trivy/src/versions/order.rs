//! The order of versions, as Trivy's comparers have it.

use std::cmp::Ordering;
use std::str::FromStr as _;

use super::Scheme;

/// A version that can be put in order with others of its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// Numbers without the zeros at their end, and the identifiers of a prerelease.
    Numbers(Vec<u64>, Vec<Part>),
    Python(Box<pep440_rs::Version>),
    /// Parts without the zeros at the end of the numbers.
    Gem(Vec<Part>),
    Maven(Vec<Qualified>),
}

/// Texts come before numbers in gems; in prereleases numbers come first, so those are compared by [`prerelease`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Text(String),
    Number(u64),
}

/// A part of a Maven version: its rank among qualifiers, which numbers stand above, then its number or text.
pub(crate) type Qualified = (u8, u64, String);

/// What stands for a part that the shorter of two Maven versions has not.
const RELEASE: u8 = 5;

impl Ordered {
    /// Reads a version that [`Scheme::reads`] takes; `None` for others.
    pub(crate) fn read(scheme: Scheme, text: &str) -> Option<Self> {
        if !scheme.reads(text) {
            return None;
        }
        Some(match scheme {
            Scheme::Pep440 => Self::Python(Box::new(pep440_rs::Version::from_str(text).ok()?)),
            Scheme::Gem => Self::Gem(gem(text)?),
            Scheme::Free => Self::Maven(maven(text)),
            Scheme::Generic | Scheme::Semantic => {
                let text = text.strip_prefix('v').unwrap_or(text).split('+').next()?;
                let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
                let (release, rest) = text.split_at_checked(end)?;
                let mut numbers = release.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
                trim(&mut numbers, &0);
                let rest = rest.strip_prefix('-').unwrap_or(rest);
                let parts = rest.split('.').filter(|part| !part.is_empty());
                Self::Numbers(numbers, parts.map(part).collect())
            }
        })
    }

    /// The order; versions of different schemes are equal to one another.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Numbers(a, x), Self::Numbers(b, y)) => a.cmp(b).then_with(|| prerelease(x, y)),
            (Self::Python(a), Self::Python(b)) => a.cmp(b),
            (Self::Gem(a), Self::Gem(b)) => padded(a, b, &Part::Number(0)),
            (Self::Maven(a), Self::Maven(b)) => padded(a, b, &(RELEASE, 0, String::new())),
            _ => Ordering::Equal,
        }
    }
}

fn part(text: &str) -> Part {
    text.parse().map_or_else(|_| Part::Text(text.to_owned()), Part::Number)
}

fn trim<T: PartialEq>(parts: &mut Vec<T>, end: &T) {
    while parts.last() == Some(end) {
        parts.pop();
    }
}

fn padded<T: Ord>(a: &[T], b: &[T], missing: &T) -> Ordering {
    let length = a.len().max(b.len());
    (0..length)
        .map(|index| a.get(index).unwrap_or(missing).cmp(b.get(index).unwrap_or(missing)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A version without a prerelease comes after those with one; numbers come before texts, a shorter list before a longer one.
fn prerelease(a: &[Part], b: &[Part]) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let parts = a.iter().zip(b).map(|pair| match pair {
        (Part::Number(_), Part::Text(_)) => Ordering::Less,
        (Part::Text(_), Part::Number(_)) => Ordering::Greater,
        (a, b) => a.cmp(b),
    });
    parts.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// `RubyGems`: `-` begins a prerelease, letters and digits are parts of their own.
fn gem(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for piece in text.replace('-', ".pre.").split('.') {
        parts.extend(pieces(piece).map(part));
    }
    let numbers = parts.iter().take_while(|part| matches!(part, Part::Number(_))).count();
    let mut rest = parts.split_off(numbers);
    trim(&mut parts, &Part::Number(0));
    trim(&mut rest, &Part::Number(0));
    parts.append(&mut rest);
    (parts.len() <= 64).then_some(parts)
}

/// Runs of digits and runs of what is none.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (piece, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(piece)
    })
}

/// Maven, without its nested lists, which matter only where `-` and `.` are mixed in one place.
fn maven(text: &str) -> Vec<Qualified> {
    let text = text.to_ascii_lowercase();
    let mut parts: Vec<Qualified> = Vec::new();
    for piece in text.split(['.', '-', '_', '+']).flat_map(pieces) {
        parts.push(match piece.parse::<u64>() {
            Ok(number) => (if number == 0 { RELEASE } else { 8 }, number, String::new()),
            Err(_) if piece.bytes().all(|byte| byte.is_ascii_digit()) => (9, 0, format!("{piece:0>300}")),
            Err(_) => match piece {
                "alpha" | "a" => (0, 0, String::new()),
                "beta" | "b" => (1, 0, String::new()),
                "milestone" | "m" => (2, 0, String::new()),
                "rc" | "cr" => (3, 0, String::new()),
                "snapshot" => (4, 0, String::new()),
                "ga" | "final" | "release" => (RELEASE, 0, String::new()),
                "sp" => (6, 0, String::new()),
                other => (7, 0, other.to_owned()),
            },
        });
    }
    trim(&mut parts, &(RELEASE, 0, String::new()));
    parts
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::Ordered;
    use crate::versions::Scheme;

    fn ascending(scheme: Scheme, texts: &[&str]) {
        let read: Vec<_> = texts.iter().map(|text| Ordered::read(scheme, text).unwrap()).collect();
        for (index, pair) in read.windows(2).enumerate() {
            assert_eq!(pair[0].compare(&pair[1]), Ordering::Less, "{scheme:?} {:?}", &texts[index..index + 2]);
            assert_eq!(pair[1].compare(&pair[0]), Ordering::Greater, "{scheme:?} {:?}", &texts[index..index + 2]);
        }
    }

    #[test]
    fn versions_of_each_scheme_are_in_the_order_of_their_ecosystem() {
        ascending(
            Scheme::Generic,
            &["0.0.0-0", "0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.2", "v1.0", "1.0.0.1", "1.2", "1.10"],
        );
        ascending(Scheme::Generic, &["0.0.0-20200101000000-a", "0.0.0-20210101000000-b", "0.1.0"]);
        ascending(Scheme::Pep440, &["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1!0.1"]);
        ascending(Scheme::Gem, &["1.0.a", "1.0.beta2", "1.0.rc1", "1.0", "1.0.1", "1.2.0-rc1", "1.2", "1.10"]);
        ascending(
            Scheme::Free,
            &["1.0-alpha-1", "1.0-rc1", "1.0-SNAPSHOT", "1.0", "1.0-sp1", "1.0-jre", "1.0.1", "1.10"],
        );
    }

    #[test]
    fn versions_that_are_written_differently_and_mean_the_same_are_equal() {
        for (scheme, one, other) in [
            (Scheme::Generic, "1", "v1.0.0+build"),
            (Scheme::Gem, "1.0", "1.0.0"),
            (Scheme::Free, "1.0", "1.0.0.Final"),
            (Scheme::Pep440, "1.0.0-rc1", "1.0c1"),
        ] {
            let read = |text| Ordered::read(scheme, text).unwrap();
            assert_eq!(read(one).compare(&read(other)), Ordering::Equal, "{one} {other}");
        }
        assert_eq!(Ordered::read(Scheme::Generic, "latest"), None);
    }
}
