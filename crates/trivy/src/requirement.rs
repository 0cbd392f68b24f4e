//! Requirements on versions as package managers write them: `~> 2.1.3, >= 2.1.3.1` of gems, `^1.2 || <0.9.x` of npm,
//! `>=4,<4.4.0` of Composer.

use crate::interval::{Set, Sign, Version, split_sign};
use crate::versions::Scheme;

/// Most numbers of a version that a requirement raises.
const MAX_NUMBERS: usize = 16;

/// The versions that meet a gem's requirement, a list of comparisons that must all hold. `None` where it cannot be read.
pub(crate) fn gem(text: &str) -> Option<Set> {
    text.split(',').try_fold(Set::all(), |set, comparison| Some(set.and(&gem_comparison(comparison)?)))
}

fn gem_comparison(text: &str) -> Option<Set> {
    let text = text.trim();
    let version = |text: &str| Version::read(Scheme::Gem, text);
    if let Some(version_text) = text.strip_prefix("~>") {
        // "Approximately greater" keeps all numbers but the last one; prereleases of the next are too new already, so the end
        // is the first of them.
        let mut numbers = numbers(version_text.trim().split('-').next()?);
        if numbers.len() > 1 {
            numbers.pop();
        }
        *numbers.last_mut()? += 1;
        let end = version(&format!("{}.a", join(&numbers)))?;
        return Some(Set::of(Sign::AtLeast, version(version_text)?).and(&Set::of(Sign::Less, end)));
    }
    if let Some(excluded) = text.strip_prefix("!=") {
        return Some(Set::of(Sign::Equal, version(excluded)?).complement());
    }
    let (sign, text) = split_sign(text);
    Some(Set::of(sign?, version(text)?))
}

/// The versions that meet comparisons of Composer that must all hold.
pub(crate) fn composer<'a>(comparisons: impl Iterator<Item = &'a str>) -> Option<Set> {
    let mut any = false;
    let mut set = Set::all();
    for comparison in comparisons.flat_map(|text| text.split(',')) {
        let (sign, text) = split_sign(comparison);
        set = set.and(&Set::of(sign?, Version::read(Scheme::Generic, text)?));
        any = true;
    }
    any.then_some(set)
}

/// The versions in a range of node-semver (<https://github.com/npm/node-semver#ranges>), prereleases taken by their order alone,
/// as Trivy does.
pub(crate) fn npm(text: &str) -> Option<Set> {
    text.split("||").try_fold(Set::none(), |set, alternative| Some(set.or(npm_alternative(alternative)?)))
}

fn npm_alternative(text: &str) -> Option<Set> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Some(npm_comparison(&format!(">={}", from.trim()))?.and(&npm_comparison(&format!("<={}", to.trim()))?));
    }
    let mut set = Set::all();
    // A sign may stand apart from its version.
    let mut sign = String::new();
    for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        if word.bytes().all(|byte| b"<>=~^".contains(&byte)) {
            sign.push_str(word);
            continue;
        }
        set = set.and(&npm_comparison(&format!("{}{word}", std::mem::take(&mut sign)))?);
    }
    sign.is_empty().then_some(set)
}

fn npm_comparison(text: &str) -> Option<Set> {
    let end = text.find(|c| !matches!(c, '<' | '>' | '=' | '~' | '^')).unwrap_or(text.len());
    let (sign, version) = text.split_at_checked(end)?;
    let version = version.trim_start_matches(['v', '=']);
    let (core, rest) = version.find(['-', '+']).map_or((version, ""), |at| version.split_at(at));
    let wild = |part: &&str| matches!(*part, "x" | "X" | "*" | "");
    let given: Vec<&str> = core.split('.').take_while(|part| !wild(part)).collect();
    let mut parts = given.iter().map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<u64>>>()?;
    if parts.len() > 3 {
        return None;
    }
    let given = parts.len();
    parts.resize(3, 0);
    let read = |text: String| Version::read(Scheme::Semantic, &text);
    let lowest = read(format!("{}{rest}", join(&parts)))?;
    // The first version, prereleases included, in which the number at `place` is one higher.
    let next = |place: usize| {
        let mut raised = parts.clone();
        *raised.get_mut(place)? = parts.get(place)?.checked_add(1)?;
        raised.iter_mut().skip(place + 1).for_each(|part| *part = 0);
        read(format!("{}-0", join(&raised)))
    };
    if given == 0 {
        return Some(if matches!(sign, "<" | ">") { Set::none() } else { Set::all() });
    }
    let between = |to: Version| Set::of(Sign::AtLeast, lowest.clone()).and(&Set::of(Sign::Less, to));
    Some(match sign {
        "^" => {
            let first = parts.iter().take(given).position(|part| *part > 0).unwrap_or(given - 1);
            between(next(first)?)
        }
        "~" | "~>" => between(next(given.min(2) - 1)?),
        _ if given == 3 => Set::of(split_sign(sign).0?, lowest),
        "" | "=" | "==" => between(next(given - 1)?),
        "<=" | "=<" => Set::of(Sign::Less, next(given - 1)?),
        ">" => Set::of(Sign::AtLeast, next(given - 1)?),
        _ => Set::of(split_sign(sign).0?, lowest),
    })
}

/// The numbers that a version begins with.
fn numbers(text: &str) -> Vec<u64> {
    text.split('.').map_while(|part| part.parse().ok()).take(MAX_NUMBERS).filter(|number| *number < u64::MAX).collect()
}

fn join(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{composer, gem, npm};

    #[test]
    fn requirements_of_gems_are_read_as_rubygems_does() {
        for (text, groups) in [
            ("~> 2.1.3", vec![">=2.1.3, <2.2.a"]),
            ("~> 2", vec![">=2, <3.a"]),
            ("~> 2.0.0.rc1", vec![">=2.0.0.rc1, <2.1.a"]),
            ("~> 2.2.8, >= 2.2.8.1", vec![">=2.2.8.1, <2.3.a"]),
            (">= 1.0, != 1.2", vec![">=1.0, <1.2", ">1.2"]),
            ("1.5", vec!["=1.5"]),
            ("> 1.5, < 1.4", vec![]),
        ] {
            assert_eq!(gem(text).unwrap().groups().0, groups, "{text}");
        }
        assert!(gem("~> x").is_none() && gem("").is_none() && gem(">= 1 2").is_none());
    }

    #[test]
    fn ranges_of_npm_are_read_as_node_semver_does() {
        for (text, groups) in [
            ("<=99.999.99999", vec!["<=99.999.99999"]),
            ("< 1.2.3 || >= 2.0.0 <2.1.0", vec!["<1.2.3", ">=2.0.0, <2.1.0"]),
            ("^1.2.3", vec![">=1.2.3, <2.0.0-0"]),
            ("^0.2.3", vec![">=0.2.3, <0.3.0-0"]),
            ("^0.0.3", vec![">=0.0.3, <0.0.4-0"]),
            ("~1.2.3", vec![">=1.2.3, <1.3.0-0"]),
            ("~1", vec![">=1.0.0, <2.0.0-0"]),
            ("0.10.x || 4.x", vec![">=0.10.0, <0.11.0-0", ">=4.0.0, <5.0.0-0"]),
            (">= 9.x", vec![">=9.0.0"]),
            ("<=2", vec!["<3.0.0-0"]),
            (">1.2", vec![">=1.3.0-0"]),
            ("1.0.0 - 1.5", vec![">=1.0.0, <1.6.0-0"]),
            ("*", vec![">=0"]),
            ("=1.0.0-rc.9", vec!["=1.0.0-rc.9"]),
            ("<=v1.0.0-alpha1", vec!["<=1.0.0-alpha1"]),
        ] {
            assert_eq!(npm(text).unwrap().groups().0, groups, "{text}");
        }
        assert!(npm("latest").is_none() && npm(">=").is_none() && npm("1.2.3.4").is_none());
    }

    #[test]
    fn comparisons_of_composer_must_all_hold() {
        assert_eq!(composer([">=4", "<4.4.0"].into_iter()).unwrap().groups().0, [">=4, <4.4.0"]);
        assert_eq!(composer(["<7.70"].into_iter()).unwrap().groups().0, ["<7.70"]);
        assert!(composer([].into_iter()).is_none() && composer(["dev-master"].into_iter()).is_none());
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "[-~^<>=!*x|., 0-9a]{0,40}") {
            for set in [gem(&text), npm(&text), composer([text.as_str()].into_iter())].into_iter().flatten() {
                prop_assert!(set.groups().0.iter().all(|group| !group.is_empty()));
            }
        }
    }
}
