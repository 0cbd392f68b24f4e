//! Documents with duplicate member names, for a caller that must not lose them.

use export_canon::json::{Canonicalizer, Limits};

#[test]
fn duplicates_are_kept_in_the_order_in_which_they_came() {
    let mut canonicalizer = Canonicalizer::new(Limits::default()).keep_duplicates();
    let cases = [
        (r#"{"a":1,"a":2,"b":0}"#, r#"{"a":1,"a":2,"b":0}"#),
        (r#"{"b":0,"a":2,"a":1}"#, r#"{"a":2,"a":1,"b":0}"#),
        (r#"{"a":2,"b":0,"a":1}"#, r#"{"a":2,"a":1,"b":0}"#),
        (r#"{"x":{"b":0,"\u0061":{"d":1,"c":2},"a":1}}"#, r#"{"x":{"\u0061":{"c":2,"d":1},"a":1,"b":0}}"#),
    ];
    for (input, expected) in cases {
        let canonical = canonicalizer.canonicalize(input.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&canonical).unwrap(), expected);
        let again = canonicalizer.canonicalize(expected.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&again).unwrap(), expected, "stable");
    }
}
