//! Sets of versions, for databases that say what is fixed instead of what is vulnerable.

use std::cmp::Ordering;

use crate::versions::{Ordered, Scheme};

/// A place between versions.
#[derive(Clone, Debug)]
enum Cut {
    /// Before all.
    Start,
    Before(Version),
    After(Version),
    /// After all.
    End,
}

/// A version and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    text: String,
    ordered: Ordered,
}

impl Version {
    /// `None` for what the scheme cannot read.
    pub(crate) fn read(scheme: Scheme, text: &str) -> Option<Self> {
        let text = text.trim();
        Some(Self { text: text.to_owned(), ordered: Ordered::read(scheme, text)? })
    }
}

impl Cut {
    fn compare(&self, other: &Self) -> Ordering {
        let place = |cut: &Self| match cut {
            Self::Start => 0,
            Self::Before(_) | Self::After(_) => 1,
            Self::End => 2,
        };
        let version = |cut: &Self| match cut {
            Self::Before(version) => Some((version.ordered.clone(), false)),
            Self::After(version) => Some((version.ordered.clone(), true)),
            Self::Start | Self::End => None,
        };
        match (version(self), version(other)) {
            (Some((a, after)), Some((b, behind))) => a.compare(&b).then(after.cmp(&behind)),
            _ => place(self).cmp(&place(other)),
        }
    }
}

/// A comparison of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Less,
    AtMost,
    Equal,
    AtLeast,
    Greater,
}

/// A set of versions: intervals in order, none touching the next.
#[derive(Clone, Debug)]
pub(crate) struct Set(Vec<(Cut, Cut)>);

impl Set {
    pub(crate) fn all() -> Self {
        Self(vec![(Cut::Start, Cut::End)])
    }

    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// The versions for which a comparison with `version` holds.
    pub(crate) fn of(sign: Sign, version: Version) -> Self {
        Self(vec![match sign {
            Sign::Less => (Cut::Start, Cut::Before(version)),
            Sign::AtMost => (Cut::Start, Cut::After(version)),
            Sign::Equal => (Cut::Before(version.clone()), Cut::After(version)),
            Sign::AtLeast => (Cut::Before(version), Cut::End),
            Sign::Greater => (Cut::After(version), Cut::End),
        }])
    }

    pub(crate) fn and(self, other: &Self) -> Self {
        let mut found = Vec::new();
        for (from, to) in &self.0 {
            for (other_from, other_to) in &other.0 {
                let from = if from.compare(other_from).is_lt() { other_from } else { from };
                let to = if to.compare(other_to).is_gt() { other_to } else { to };
                if from.compare(to).is_lt() {
                    found.push((from.clone(), to.clone()));
                }
            }
        }
        Self(found)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        let mut all = self.0;
        all.extend(other.0);
        all.sort_by(|a, b| a.0.compare(&b.0).then_with(|| a.1.compare(&b.1)));
        let mut joined: Vec<(Cut, Cut)> = Vec::new();
        for (from, to) in all {
            match joined.last_mut() {
                Some((_, end)) if from.compare(end).is_le() => {
                    if to.compare(end).is_gt() {
                        *end = to;
                    }
                }
                _ => joined.push((from, to)),
            }
        }
        Self(joined)
    }

    /// All versions that are not in the set.
    pub(crate) fn complement(self) -> Self {
        let mut found = Vec::new();
        let mut start = Cut::Start;
        for (from, to) in self.0 {
            if start.compare(&from).is_lt() {
                found.push((start, from));
            }
            start = to;
        }
        if start.compare(&Cut::End).is_lt() {
            found.push((start, Cut::End));
        }
        Self(found)
    }

    /// The intervals as groups of bounds, and the versions that end an interval without being in it.
    pub(crate) fn groups(&self) -> (Vec<String>, Vec<String>) {
        let mut patched = Vec::new();
        let groups = self.0.iter().map(|(from, to)| {
            if let Cut::Before(version) = to {
                patched.push(version.text.clone());
            }
            match (from, to) {
                (Cut::Before(from), Cut::After(to)) if from.ordered == to.ordered => return format!("={}", to.text),
                _ => {}
            }
            let from = match from {
                Cut::Before(version) => Some(format!(">={}", version.text)),
                Cut::After(version) => Some(format!(">{}", version.text)),
                Cut::Start | Cut::End => None,
            };
            let to = match to {
                Cut::Before(version) => Some(format!("<{}", version.text)),
                Cut::After(version) => Some(format!("<={}", version.text)),
                Cut::Start | Cut::End => None,
            };
            match (from, to) {
                (Some(from), Some(to)) => format!("{from}, {to}"),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => ">=0".to_owned(),
            }
        });
        let groups = groups.collect();
        (groups, patched)
    }
}

/// Whether a group of bounds, as it is written into the database, holds a version. `None` where one of the two cannot be read.
pub(crate) fn holds(scheme: Scheme, group: &str, version: &Ordered) -> Option<bool> {
    for bound in group.split(", ") {
        let (sign, text) = split_sign(bound);
        let order = version.compare(&Ordered::read(scheme, text)?);
        let inside = match sign? {
            Sign::Less => order.is_lt(),
            Sign::AtMost => order.is_le(),
            Sign::Equal => order.is_eq(),
            Sign::AtLeast => order.is_ge(),
            Sign::Greater => order.is_gt(),
        };
        if !inside {
            return Some(false);
        }
    }
    Some(true)
}

/// The sign that a comparison begins with, if it is one of the five, and what follows.
pub(crate) fn split_sign(bound: &str) -> (Option<Sign>, &str) {
    let bound = bound.trim();
    let end = bound.find(|c| !matches!(c, '<' | '>' | '=' | '~' | '^' | '!')).unwrap_or(bound.len());
    let (sign, text) = bound.split_at_checked(end).unwrap_or((bound, ""));
    let sign = match sign {
        "<" => Some(Sign::Less),
        "<=" | "=<" => Some(Sign::AtMost),
        "" | "=" | "==" => Some(Sign::Equal),
        ">=" | "=>" => Some(Sign::AtLeast),
        ">" => Some(Sign::Greater),
        _ => None,
    };
    (sign, text.trim())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Set, Sign, Version, holds};
    use crate::versions::{Ordered, Scheme};

    fn version(text: &str) -> Version {
        Version::read(Scheme::Generic, text).unwrap()
    }

    fn groups(set: &Set) -> Vec<String> {
        set.groups().0
    }

    #[test]
    fn what_is_neither_fixed_nor_unaffected_is_vulnerable() {
        let fixed = Set::of(Sign::AtLeast, version("2.1.3")).and(&Set::of(Sign::Less, version("2.2")));
        let safe = fixed.or(Set::of(Sign::AtLeast, version("2.2.2"))).or(Set::of(Sign::Less, version("2.1.0")));
        let (groups, patched) = safe.complement().groups();
        assert_eq!(groups, [">=2.1.0, <2.1.3", ">=2.2, <2.2.2"]);
        assert_eq!(patched, ["2.1.3", "2.2.2"]);
    }

    #[test]
    fn nothing_and_everything_are_told_apart() {
        assert_eq!(groups(&Set::none().complement()), [">=0"]);
        assert_eq!(groups(&Set::all().complement()), Vec::<String>::new());
        let never = Set::of(Sign::Less, version("1")).and(&Set::of(Sign::Greater, version("2")));
        assert_eq!(groups(&never), Vec::<String>::new(), "no group, and never an empty one, which is everything");
    }

    #[test]
    fn single_versions_and_open_ends_have_their_signs() {
        assert_eq!(groups(&Set::of(Sign::Equal, version("1.0"))), ["=1.0"]);
        let around = Set::of(Sign::Equal, version("1.0")).complement();
        assert_eq!(groups(&around), ["<1.0", ">1.0"]);
        assert_eq!(
            groups(&Set::of(Sign::AtMost, version("3")).and(&Set::of(Sign::Greater, version("1")))),
            [">1, <=3"]
        );
    }

    fn any_set() -> impl Strategy<Value = Set> {
        let sign = prop_oneof![
            Just(Sign::Less),
            Just(Sign::AtMost),
            Just(Sign::Equal),
            Just(Sign::AtLeast),
            Just(Sign::Greater)
        ];
        let one = (sign, 0_u8..9).prop_map(|(sign, number)| Set::of(sign, version(&number.to_string())));
        one.prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(&b)),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
                inner.prop_map(Set::complement),
            ]
        })
    }

    fn contains(set: &Set, number: u8) -> bool {
        let number = Ordered::read(Scheme::Generic, &number.to_string()).unwrap();
        groups(set).iter().any(|group| holds(Scheme::Generic, group, &number).unwrap())
    }

    proptest! {
        #[test]
        fn sets_and_their_texts_obey_the_laws_of_sets(a in any_set(), b in any_set()) {
            for number in 1..9 {
                let (in_a, in_b) = (contains(&a, number), contains(&b, number));
                prop_assert_eq!(contains(&a.clone().complement(), number), !in_a);
                prop_assert_eq!(contains(&a.clone().and(&b), number), in_a && in_b);
                prop_assert_eq!(contains(&a.clone().or(b.clone()), number), in_a || in_b);
            }
        }
    }
}
