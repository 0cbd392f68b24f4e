//! A reader of bbolt files that trusts nothing and shares nothing with the writer: it was made from the format alone.
//!
//! It goes beyond what bbolt asks of a file: pages are packed without holes, unused bytes are zero, and nothing is left to chance
//! (sequences, ids of transactions), because our files are to be the same byte for byte.

use std::io::{Read, Seek, SeekFrom};

const PAGE: u64 = 4096;

/// What is in a database, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Enter(&'a [u8]),
    Put(&'a [u8], &'a [u8]),
    Leave,
}

type Problem = String;

macro_rules! need {
    ($holds:expr, $($problem:tt)*) => { if !$holds { return Err(format!($($problem)*)); } };
}

/// Reads the whole file and tells what is in it, or what is wrong with it.
pub(crate) fn check(file: impl Read + Seek, visit: &mut dyn FnMut(Event<'_>)) -> Result<(), Problem> {
    let mut reader = Reader { file, seen: Vec::new() };
    let size = reader.file.seek(SeekFrom::End(0)).map_err(|cause| cause.to_string())?;
    need!(size % PAGE == 0 && size >= 4 * PAGE, "{size} bytes are not whole pages");
    reader.seen = vec![false; usize::try_from(size / PAGE).unwrap()];
    let mut roots = Vec::new();
    for id in 0..2 {
        let page = reader.page(id)?;
        need!(page.flags == 4 && page.count == 0 && page.overflow == 0, "page {id} is not a meta");
        let body = &page.bytes[16..];
        need!([0, 4, 8, 12].map(|at| u32_at(body, at)) == [0xED0C_DAED, 2, 4096, 0], "meta {id} is not of bbolt");
        need!(u64_at(body, 24) == 0, "meta {id} has a sequence");
        need!(u64_at(body, 32) == 2, "meta {id} has the freelist elsewhere");
        need!(u64_at(body, 40) * PAGE == size, "meta {id} knows {} pages", u64_at(body, 40));
        need!(u64_at(body, 48) == id, "meta {id} is of another transaction");
        let checksum = body[..56].iter().fold(14_695_981_039_346_656_037_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211)
        });
        need!(u64_at(body, 56) == checksum, "meta {id} has a wrong checksum");
        need!(zero(&body[64..]), "meta {id} is followed by something");
        roots.push(u64_at(body, 16));
    }
    need!(roots[0] == roots[1], "the metas have different roots");
    let free = reader.page(2)?;
    need!(free.flags == 0x10 && free.count == 0 && free.overflow == 0, "page 2 is not an empty freelist");
    need!(zero(&free.bytes[16..]), "the freelist is followed by something");

    reader.bucket(roots[0], true, visit)?;
    match reader.seen.iter().position(|seen| !seen) {
        Some(lost) => Err(format!("page {lost} is not reached")),
        None => Ok(()),
    }
}

struct Reader<F> {
    file: F,
    seen: Vec<bool>,
}

struct Page {
    id: u64,
    flags: u16,
    count: usize,
    overflow: u32,
    bytes: Vec<u8>,
}

/// What is known of one bucket while its pages are walked.
#[derive(Default)]
struct Walk {
    last: Vec<u8>,
    /// Height above the root of the first leaf, which all leaves share.
    depth: Option<usize>,
    buckets: usize,
    elements: usize,
    /// Bytes of keys and values.
    data: usize,
}

impl<F: Read + Seek> Reader<F> {
    /// Reads a page with its overflow, each of them once.
    fn page(&mut self, id: u64) -> Result<Page, Problem> {
        let mut header = [0; 16];
        self.read(id * PAGE, &mut header)?;
        need!(u64_at(&header, 0) == id, "page {id} says that it is page {}", u64_at(&header, 0));
        let overflow = u32_at(&header, 12);
        for covered in id..=id + u64::from(overflow) {
            let place = usize::try_from(covered).ok().and_then(|at| self.seen.get_mut(at));
            match place {
                None => return Err(format!("page {covered} is beyond the file")),
                Some(true) => return Err(format!("page {covered} is reached twice")),
                Some(seen) => *seen = true,
            }
        }
        let mut bytes = vec![0; usize::try_from(PAGE * (1 + u64::from(overflow))).unwrap()];
        self.read(id * PAGE, &mut bytes)?;
        Ok(Page { id, flags: u16_at(&bytes, 8), count: u16_at(&bytes, 10).into(), overflow, bytes })
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Problem> {
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(into));
        read.map_err(|cause| format!("cannot read at {at}: {cause}"))
    }

    fn bucket(&mut self, root: u64, outermost: bool, visit: &mut dyn FnMut(Event<'_>)) -> Result<(), Problem> {
        let mut walk = Walk::default();
        self.tree(root, 0, None, &mut walk, visit)?;
        let image = 16 + 16 * walk.elements + walk.data;
        need!(outermost || walk.buckets > 0 || image > 1024, "the bucket at page {root} belongs into its parent");
        need!(outermost || walk.elements > 0, "the bucket at page {root} is empty");
        Ok(())
    }

    /// Walks a page and what is below; `first` is the key that its parent knows it by.
    fn tree(
        &mut self,
        id: u64,
        depth: usize,
        first: Option<&[u8]>,
        walk: &mut Walk,
        visit: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Problem> {
        let page = self.page(id)?;
        match page.flags {
            1 => {
                need!(page.count >= 2, "branch {id} has {} children", page.count);
                let children = branch(&page)?;
                need!(first.is_none_or(|first| first == children[0].0), "branch {id} begins with another key");
                for (key, child) in children {
                    self.tree(child, depth + 1, Some(&key), walk, visit)?;
                }
                Ok(())
            }
            2 => {
                need!(*walk.depth.get_or_insert(depth) == depth, "leaf {id} is at depth {depth}, unlike the first");
                let elements = leaf(&page.bytes, page.count, &format!("leaf {id}"))?;
                need!(
                    first == elements.first().map(|element| element.key) || first.is_none(),
                    "leaf {id} begins with another key"
                );
                need!(first.is_none() || !elements.is_empty(), "leaf {id} is empty");
                let end = elements.last().map_or(16, |element| element.end);
                need!(pages(end) == 1 + page.overflow, "leaf {id} overflows to {} pages", page.overflow);
                need!(page.overflow == 0 || page.count == 1, "leaf {id} overflows and has {} elements", page.count);
                need!(zero(&page.bytes[end..]), "leaf {id} is followed by something");
                for element in elements {
                    need!(*element.key > *walk.last, "leaf {id} has a key out of order");
                    walk.last = element.key.to_vec();
                    walk.elements += 1;
                    walk.data += element.key.len() + element.value.len();
                    if element.bucket {
                        walk.buckets += 1;
                        visit(Event::Enter(element.key));
                        self.inner(element.value, visit)?;
                        visit(Event::Leave);
                    } else {
                        visit(Event::Put(element.key, element.value));
                    }
                }
                Ok(())
            }
            flags => Err(format!("page {id} has flags {flags}")),
        }
    }

    /// A bucket that is the value of an element.
    fn inner(&mut self, value: &[u8], visit: &mut dyn FnMut(Event<'_>)) -> Result<(), Problem> {
        need!(value.len() >= 16 && u64_at(value, 8) == 0, "a bucket has no header, or a sequence");
        let root = u64_at(value, 0);
        if root != 0 {
            need!(value.len() == 16, "bucket {root} is followed by something");
            return self.bucket(root, false, visit);
        }
        let image = &value[16..];
        need!(image.len() >= 16 && image.len() <= 1024, "an inline bucket has {} bytes", image.len());
        need!(
            u64_at(image, 0) == 0 && u16_at(image, 8) == 2 && u32_at(image, 12) == 0,
            "an inline bucket has a bad header"
        );
        let elements = leaf(image, u16_at(image, 10).into(), "an inline bucket")?;
        need!(elements.last().map_or(16, |element| element.end) == image.len(), "an inline bucket has a wrong size");
        let mut last: &[u8] = &[];
        for element in elements {
            need!(!element.bucket, "a bucket is in an inline bucket");
            need!(element.key > last, "an inline bucket has a key out of order");
            last = element.key;
            visit(Event::Put(element.key, element.value));
        }
        Ok(())
    }
}

struct Element<'a> {
    key: &'a [u8],
    value: &'a [u8],
    bucket: bool,
    end: usize,
}

/// Elements of a leaf, whose keys and values follow each other without holes.
fn leaf<'a>(bytes: &'a [u8], count: usize, name: &str) -> Result<Vec<Element<'a>>, Problem> {
    let mut next = 16 + 16 * count;
    need!(next <= bytes.len(), "{name} has {count} elements");
    let mut elements = Vec::with_capacity(count);
    for at in (16..next).step_by(16) {
        let [flags, position, key, value] = [0, 4, 8, 12].map(|word| u32_at(bytes, at + word));
        let (position, key, value) = (position as usize, key as usize, value as usize);
        need!(flags <= 1, "{name} has an element with flags {flags}");
        need!((1..=32768).contains(&key), "{name} has a key of {key} bytes");
        need!(at + position == next, "{name} has a hole at {next}");
        let end = next + key + value;
        need!(end <= bytes.len(), "{name} has an element beyond its end");
        let (key, value) = bytes[next..end].split_at(key);
        elements.push(Element { key, value, bucket: flags == 1, end });
        next = end;
    }
    Ok(elements)
}

/// Keys and pages of the children of a branch.
fn branch(page: &Page) -> Result<Vec<(Vec<u8>, u64)>, Problem> {
    let Page { id, count, bytes, .. } = page;
    let mut next = 16 + 16 * count;
    need!(next <= bytes.len(), "branch {id} has {count} elements");
    let mut children: Vec<(Vec<u8>, u64)> = Vec::new();
    for at in (16..next).step_by(16) {
        let (position, size) = (u32_at(bytes, at) as usize, u32_at(bytes, at + 4) as usize);
        need!(at + position == next && next + size <= bytes.len(), "branch {id} has a hole at {next}");
        let key = &bytes[next..next + size];
        need!(children.last().is_none_or(|(last, _)| **last < *key), "branch {id} has a key out of order");
        children.push((key.to_vec(), u64_at(bytes, at + 8)));
        next += size;
    }
    need!(pages(next) == 1 + page.overflow, "branch {id} overflows to {} pages", page.overflow);
    // More children than two are no reason to overflow, but for one that would be alone.
    need!(page.overflow == 0 || *count <= 3, "branch {id} overflows with {count} children");
    need!(zero(&bytes[next..]), "branch {id} is followed by something");
    Ok(children)
}

fn pages(size: usize) -> u32 {
    u32::try_from(size.div_ceil(4096)).unwrap()
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
