//! One open bucket: the leaf that is being filled, and the branches above the leaves that are done.

use crate::BoltError;
use crate::page::{ELEMENT, HEADER, Kind, PAGE, Pages, header, narrow};

/// bbolt keeps a bucket inside of its parent's leaf when its page image is at most a quarter of a page.
const INLINE: usize = PAGE / 4;
/// The flag of a leaf element whose value is a bucket.
const IS_BUCKET: u32 = 1;
/// Buffers that grew for one large value are given back beyond this.
const KEPT: usize = 64 * 1024;

/// Whether an element is a bucket or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Bucket,
    Value,
}

/// An open bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    leaf: Leaf,
    /// Branches by height, those above the leaves first.
    levels: Vec<Level>,
    /// The last key, empty at first. A bucket that was entered is already here, but not yet in the leaf.
    last: Vec<u8>,
    has_buckets: bool,
}

impl Bucket {
    /// The last key that was taken.
    pub(crate) fn last(&self) -> &[u8] {
        &self.last
    }

    /// Takes a key, of which it is known that it comes next.
    pub(crate) fn advance(&mut self, key: &[u8]) {
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Puts the element of the last key, after finishing the leaf when the page would be too small for both.
    pub(crate) fn push(&mut self, pages: &mut Pages, is: Is, value: &[u8]) -> Result<(), BoltError> {
        if self.leaf.count() > 0 && self.leaf.size() + ELEMENT + self.last.len() + value.len() > PAGE {
            self.finish_leaf(pages)?;
        }
        self.has_buckets |= is == Is::Bucket;
        self.leaf.push(is, &self.last, value);
        Ok(())
    }

    /// Ends the bucket, and gives the value that stands for it in the leaf of its parent.
    ///
    /// That is the id of its root page and a sequence number, or 0 and the image of its only page.
    pub(crate) fn close(&mut self, pages: &mut Pages, value: &mut Vec<u8>) -> Result<(), BoltError> {
        value.clear();
        if self.levels.is_empty() && !self.has_buckets && self.leaf.size() <= INLINE {
            value.extend_from_slice(&[0; 16]);
            self.leaf.write_image(value);
        } else {
            value.extend_from_slice(&self.close_as_pages(pages)?.to_le_bytes());
            value.extend_from_slice(&[0; 8]);
        }
        Ok(())
    }

    /// Ends the bucket as pages, and gives the id of its root page.
    pub(crate) fn close_as_pages(&mut self, pages: &mut Pages) -> Result<u64, BoltError> {
        if self.levels.is_empty() {
            return self.leaf.write(pages);
        }
        self.finish_leaf(pages)?;
        let mut root = 0;
        let mut height = 0;
        // A level with a single child is the highest: what is below it is the root, and was written last.
        while self.levels.get(height).is_some_and(|level| level.children.len() > 1) {
            while let Some(count) = self.levels[height].rest() {
                root = self.finish_branch(pages, height, count)?;
            }
            height += 1;
        }
        Ok(root)
    }

    /// Makes it a bucket without anything, that keeps buffers for the next.
    pub(crate) fn reset(&mut self) {
        self.leaf.clear();
        self.levels.clear();
        self.last.clear();
        self.has_buckets = false;
    }

    fn finish_leaf(&mut self, pages: &mut Pages) -> Result<(), BoltError> {
        let page = self.leaf.write(pages)?;
        let first = self.leaf.first_key().to_vec();
        self.leaf.clear();
        self.add_child(pages, 0, &first, page)
    }

    /// Puts a finished page below the level, and whatever that finishes below the levels above.
    fn add_child(&mut self, pages: &mut Pages, height: usize, first: &[u8], page: u64) -> Result<(), BoltError> {
        if height == self.levels.len() {
            self.levels.push(Level::default());
        }
        match self.levels[height].push(first, page) {
            Some(full) => self.finish_branch(pages, height, full).map(drop),
            None => Ok(()),
        }
    }

    /// Writes the first children of the level as a branch, and gives its page.
    fn finish_branch(&mut self, pages: &mut Pages, height: usize, children: usize) -> Result<u64, BoltError> {
        let page = self.levels[height].write(pages, children)?;
        let first = self.levels[height].remove(children);
        self.add_child(pages, height + 1, &first, page)?;
        Ok(page)
    }
}

/// The elements of a leaf.
#[derive(Debug, Default)]
struct Leaf {
    elements: Vec<LeafElement>,
    /// Keys and values, each key with its value after it.
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct LeafElement {
    flags: u32,
    start: usize,
    key: u32,
    value: u32,
}

impl Leaf {
    fn count(&self) -> usize {
        self.elements.len()
    }

    /// Bytes of its page image.
    fn size(&self) -> usize {
        HEADER + self.elements.len() * ELEMENT + self.data.len()
    }

    fn push(&mut self, is: Is, key: &[u8], value: &[u8]) {
        let flags = if is == Is::Bucket { IS_BUCKET } else { 0 };
        let start = self.data.len();
        self.elements.push(LeafElement { flags, start, key: narrow(key.len()), value: narrow(value.len()) });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    fn first_key(&self) -> &[u8] {
        self.elements.first().map_or(&[], |element| &self.data[..element.key as usize])
    }

    fn clear(&mut self) {
        self.elements.clear();
        self.data.clear();
        self.data.shrink_to(KEPT);
    }

    /// The elements as the page has them: flags, distance from the element to its key, sizes of key and value.
    fn encoded(&self) -> impl ExactSizeIterator<Item = [u8; ELEMENT]> {
        let count = self.elements.len();
        self.elements.iter().enumerate().map(move |(at, element)| {
            let position = narrow((count - at) * ELEMENT + element.start);
            words([element.flags, position, element.key, element.value])
        })
    }

    fn write(&self, pages: &mut Pages) -> Result<u64, BoltError> {
        pages.append(Kind::Leaf, self.encoded(), &self.data)
    }

    fn write_image(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&header(0, Kind::Leaf, self.count(), 0));
        into.extend(self.encoded().flatten());
        into.extend_from_slice(&self.data);
    }
}

/// The children of one branch that is being filled, and the first of the next.
///
/// A branch of bbolt has two children at least, however long their keys are (it is one page, or overflows when two do not fit).
/// So a full branch is written when two children wait behind it: one alone could turn out to be the last.
#[derive(Debug, Default)]
struct Level {
    children: Vec<Child>,
    /// The first keys of the children, one after the other.
    keys: Vec<u8>,
    /// How many children the first branch takes, once it is full.
    full: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Child {
    start: usize,
    key: u32,
    page: u64,
}

impl Level {
    /// Adds a child, and tells how many of the children are to be written now.
    fn push(&mut self, key: &[u8], page: u64) -> Option<usize> {
        let count = self.children.len();
        let size = HEADER + (count + 1) * ELEMENT + self.keys.len() + key.len();
        if self.full.is_none() && count >= 2 && size > PAGE {
            self.full = Some(count);
        }
        self.children.push(Child { start: self.keys.len(), key: narrow(key.len()), page });
        self.keys.extend_from_slice(key);
        self.full.filter(|full| self.children.len() == full + 2)
    }

    /// How many children the next branch takes when no more will come; nothing when all are written.
    fn rest(&self) -> Option<usize> {
        match (self.children.len(), self.full) {
            (0, _) => None,
            // One child waits: it gets another one for company, or goes along when only two are before it.
            (count, Some(full)) if full > 2 => Some(count - 2),
            (count, _) => Some(count),
        }
    }

    fn keys_end(&self, children: usize) -> usize {
        self.children.get(children).map_or(self.keys.len(), |child| child.start)
    }

    /// Writes the first children as a branch: distance from the element to its key, size of the key, page.
    fn write(&self, pages: &mut Pages, children: usize) -> Result<u64, BoltError> {
        let elements = self.children[..children].iter().enumerate().map(|(at, child)| {
            let [low, high] = [child.page.to_le_bytes().first_chunk(), child.page.to_le_bytes().last_chunk()]
                .map(|half| half.copied().map_or(0, u32::from_le_bytes));
            words([narrow((children - at) * ELEMENT + child.start), child.key, low, high])
        });
        pages.append(Kind::Branch, elements, &self.keys[..self.keys_end(children)])
    }

    /// Removes the first children and gives the first key of the first.
    fn remove(&mut self, children: usize) -> Vec<u8> {
        let end = self.keys_end(children);
        let first = self.keys[..self.keys_end(1)].to_vec();
        self.children.drain(..children);
        self.keys.drain(..end);
        for child in &mut self.children {
            child.start -= end;
        }
        self.full = None;
        first
    }
}

fn words(words: [u32; 4]) -> [u8; ELEMENT] {
    let mut bytes = [0; ELEMENT];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
