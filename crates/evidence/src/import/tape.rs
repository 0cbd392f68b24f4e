//! A flat index over canonical JSON text.
//!
//! Extraction looks at a few members of documents of up to some hundred megabytes and must accept every shape
//! (see [`super::format`]), so it reads through this index: 16 bytes per value, no strings copied, nothing
//! recursive. Wrong types and absent members both answer with an absent [`Value`], which is what makes
//! extraction lenient.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    /// Name of a member; its value is the next node.
    Name,
    String,
    /// Number, `true`, `false` or `null`.
    Literal,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// Text of a string or name without its quotes, of a literal, or of a container with its brackets.
    start: u32,
    end: u32,
    /// The first node after this value and all it holds.
    next: u32,
}

/// The index of one document.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Tape<'a> {
    /// Indexes `text`, which [`export_canon::json`] has found to be one well-formed document without white space.
    pub(crate) fn new(text: &'a str) -> Self {
        // Real documents have a value every 10 to 20 bytes; growing by doubling would cost the most where
        // memory matters.
        let mut tape = Self { text, nodes: Vec::with_capacity(text.len() / 14) };
        tape.fill();
        tape
    }

    /// The document.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { tape: self, at: (!self.nodes.is_empty()).then_some(0) }
    }

    fn fill(&mut self) {
        let bytes = self.text.as_bytes();
        let mut open: Vec<usize> = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'{' => {
                    open.push(self.push(Kind::Object, at, at));
                    at += 1;
                }
                b'[' => {
                    open.push(self.push(Kind::Array, at, at));
                    at += 1;
                }
                b'}' | b']' => {
                    if let Some(container) = open.pop() {
                        self.nodes[container].next = place(self.nodes.len());
                        self.nodes[container].end = place(at + 1);
                    }
                    at += 1;
                }
                b',' | b':' => at += 1,
                b'"' => {
                    let end = closing_quote(bytes, at + 1);
                    let kind = if bytes.get(end + 1) == Some(&b':') { Kind::Name } else { Kind::String };
                    self.push(kind, at + 1, end);
                    at = end + 1;
                }
                _ => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let len = rest.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(rest.len());
                    self.push(Kind::Literal, at, at + len);
                    at += len;
                }
            }
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node { kind, start: place(start), end: place(end), next: place(index + 1) });
        index
    }

    fn node(&self, at: usize) -> Option<Node> {
        self.nodes.get(at).copied()
    }

    fn slice(&self, node: Node) -> &str {
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// The decoded text of a string or name. A lone surrogate, which has no form in UTF-8, gives nothing.
    fn decoded(&self, node: Node) -> Option<Cow<'_, str>> {
        let text = self.slice(node);
        if !text.contains('\\') {
            return Some(Cow::Borrowed(text));
        }
        let quoted = self.text.get(node.start as usize - 1..=node.end as usize)?;
        serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
    }
}

/// Documents are shorter than 4 GiB, which canon enforces.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn closing_quote(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// A value of a document, or nothing at all. Everything that can be asked of an absent value gives nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'t> {
    tape: &'t Tape<'t>,
    at: Option<usize>,
}

impl<'t> Value<'t> {
    fn node(self) -> Option<Node> {
        self.at.and_then(|at| self.tape.node(at))
    }

    fn is(self, kind: Kind) -> bool {
        self.node().is_some_and(|node| node.kind == kind)
    }

    pub(crate) fn is_object(self) -> bool {
        self.is(Kind::Object)
    }

    pub(crate) fn is_array(self) -> bool {
        self.is(Kind::Array)
    }

    /// There is such a member, whatever it holds, `null` included.
    pub(crate) fn exists(self) -> bool {
        self.at.is_some()
    }

    /// The member of that name; of several the last, as most readers have it.
    pub(crate) fn get(self, name: &str) -> Value<'t> {
        let found = self.members().filter(|(found, _)| found == name).last();
        found.map_or(Value { tape: self.tape, at: None }, |(_, value)| value)
    }

    /// The text of a string.
    pub(crate) fn text(self) -> Option<Cow<'t, str>> {
        self.node().filter(|node| node.kind == Kind::String).and_then(|node| self.tape.decoded(node))
    }

    /// The canonical text of an object or array.
    pub(crate) fn nested(self) -> Option<&'t str> {
        self.node().filter(|node| matches!(node.kind, Kind::Object | Kind::Array)).map(|node| self.tape.slice(node))
    }

    /// The text of a string that is not blank, without white space around it.
    pub(crate) fn filled(self) -> Option<String> {
        self.text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The text of a string, or the digits of a number as written.
    pub(crate) fn text_or_number(self) -> Option<String> {
        self.filled().or_else(|| {
            let literal = self.node().filter(|node| node.kind == Kind::Literal).map(|node| self.tape.slice(node))?;
            literal.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| literal.to_owned())
        })
    }

    /// The members of an object, in canonical order; none for anything else.
    pub(crate) fn members(self) -> Members<'t> {
        let (at, end) = self.span(Kind::Object);
        Members { tape: self.tape, at, end }
    }

    /// The elements of an array. A single string or object where a list is expected counts as a list of it.
    pub(crate) fn each(self) -> Elements<'t> {
        if self.is(Kind::String) || self.is(Kind::Object) {
            let at = self.at.unwrap_or_default();
            return Elements { tape: self.tape, at, end: at + 1 };
        }
        let (at, end) = self.span(Kind::Array);
        Elements { tape: self.tape, at, end }
    }

    /// Every value, however deep inside, that is a member of that name, in canonical order.
    pub(crate) fn inside(self, name: &'static str) -> impl Iterator<Item = Value<'t>> {
        let tape = self.tape;
        let range = self.at.and_then(|at| tape.node(at).map(|node| at..node.next as usize)).unwrap_or_default();
        range.filter_map(move |at| {
            let node = tape.node(at)?;
            let hit = node.kind == Kind::Name && tape.slice(node) == name;
            hit.then_some(Value { tape, at: Some(at + 1) })
        })
    }

    fn span(self, kind: Kind) -> (usize, usize) {
        match (self.at, self.node()) {
            (Some(at), Some(node)) if node.kind == kind => (at + 1, node.next as usize),
            _ => (0, 0),
        }
    }
}

/// Iterator of [`Value::members`].
#[derive(Debug)]
pub(crate) struct Members<'t> {
    tape: &'t Tape<'t>,
    at: usize,
    end: usize,
}

impl<'t> Iterator for Members<'t> {
    type Item = (Cow<'t, str>, Value<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let name = self.tape.node(self.at)?;
        let value = self.tape.node(self.at + 1)?;
        let member = (self.tape.decoded(name).unwrap_or_default(), Value { tape: self.tape, at: Some(self.at + 1) });
        self.at = value.next as usize;
        Some(member)
    }
}

/// Iterator of [`Value::each`].
#[derive(Debug)]
pub(crate) struct Elements<'t> {
    tape: &'t Tape<'t>,
    at: usize,
    end: usize,
}

impl<'t> Iterator for Elements<'t> {
    type Item = Value<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let node = self.tape.node(self.at)?;
        let element = Value { tape: self.tape, at: Some(self.at) };
        self.at = node.next as usize;
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::Tape;

    #[test]
    fn members_elements_and_scalars_are_found() {
        let tape = Tape::new(r#"{"a":{"b":[1,"x",{"c":null}]},"d":"q\"\u00e9","e":-1.50,"f":[]}"#);
        let root = tape.root();
        let list: Vec<_> = root.get("a").get("b").each().map(super::Value::text_or_number).collect();
        assert_eq!(list, [Some("1".into()), Some("x".into()), None]);
        assert_eq!(root.get("d").text().unwrap(), "q\"é");
        assert_eq!(root.get("e").text_or_number().unwrap(), "-1.50");
        assert_eq!(root.get("f").each().count(), 0);
        assert_eq!(root.get("a").nested(), Some(r#"{"b":[1,"x",{"c":null}]}"#));
        assert_eq!((root.get("f").nested(), root.get("e").nested()), (Some("[]"), None));
        assert_eq!(root.members().map(|(name, _)| name.into_owned()).collect::<Vec<_>>(), ["a", "d", "e", "f"]);
    }

    #[test]
    fn wrong_types_and_absence_give_nothing() {
        let tape = Tape::new(r#"{"a":7,"b":"one","s":"\ud800"}"#);
        let root = tape.root();
        assert!(root.get("a").get("x").get("y").text().is_none());
        assert!(!root.get("x").exists() && root.get("a").exists());
        assert_eq!(root.get("a").members().count() + root.get("a").each().count(), 0);
        assert_eq!(root.get("b").each().filter_map(super::Value::filled).collect::<Vec<_>>(), ["one"]);
        assert!(root.get("s").text().is_none(), "a lone surrogate is no text");
    }

    #[test]
    fn values_are_found_at_any_depth_and_of_duplicates_the_last_counts() {
        let tape = Tape::new(r#"{"p":[{"purl":"a"},{"q":{"purl":"b","purl":"c"}}],"purl":"d"}"#);
        let found: Vec<_> = tape.root().get("p").inside("purl").filter_map(super::Value::filled).collect();
        assert_eq!(found, ["a", "b", "c"]);
        let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
        assert!(Tape::new(&deep).root().is_array());
        let last = Tape::new(r#"{"a":1,"a":2}"#);
        assert_eq!(last.root().get("a").text_or_number().unwrap(), "2");
    }
}
