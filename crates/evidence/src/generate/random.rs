//! A generator of numbers whose sequence will never change, unlike that of a library.

/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). Not for
/// secrets.
#[derive(Debug)]
pub(super) struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The sequence of document `number` of `seed`; neighbours have nothing in common.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut random = Self(seed);
        random.0 = random.next() ^ number.wrapping_mul(STEP);
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0; the bias of the remainder does not matter here.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// One of `items`, which is not empty.
    pub(super) fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(items.len() as u64)).unwrap_or_default();
        &items[index]
    }

    /// A sentence of `words` words.
    pub(super) fn sentence(&mut self, words: u64) -> String {
        const WORDS: [&str; 40] = [
            "attacker",
            "buffer",
            "the",
            "crafted",
            "request",
            "parser",
            "allows",
            "remote",
            "memory",
            "a",
            "header",
            "before",
            "of",
            "and",
            "function",
            "input",
            "to",
            "read",
            "write",
            "unchecked",
            "length",
            "session",
            "token",
            "default",
            "when",
            "user",
            "path",
            "in",
            "versions",
            "configuration",
            "library",
            "service",
            "without",
            "validation",
            "may",
            "lead",
            "disclosure",
            "denial",
            "certificate",
            "template",
        ];
        let mut text = String::new();
        for number in 0..words {
            if number > 0 {
                text.push(' ');
            }
            text.push_str(self.one_of::<&str>(&WORDS));
        }
        text.push('.');
        text
    }
}
