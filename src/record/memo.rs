//! What was derived from texts that recur: resource ids, user agents, operations, claims. Knows nothing of what it keeps.

use hashbrown::HashMap;

/// Entries and bytes of texts beyond which all is forgotten: a log may hold any number of different texts.
const ENTRIES: usize = 16_384;
const BYTES: usize = 4 * 1024 * 1024;

/// A bounded map from texts to what was derived from them.
#[derive(Debug)]
pub(super) struct Memo<V> {
    places: HashMap<Box<str>, u32>,
    values: Vec<V>,
    bytes: usize,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Memo { places: HashMap::new(), values: Vec::new(), bytes: 0 }
    }
}

impl<V> Memo<V> {
    /// Where the value of a text is kept.
    #[inline]
    pub fn find(&self, text: &str) -> Option<usize> {
        self.places.get(text).map(|place| *place as usize)
    }

    /// The value at a place that [`Memo::find`] or [`Memo::keep`] gave since the last one was kept.
    #[inline]
    pub fn get(&self, place: usize) -> &V {
        &self.values[place]
    }

    /// The same, to change it.
    #[inline]
    pub fn at(&mut self, place: usize) -> &mut V {
        &mut self.values[place]
    }

    /// The place of a text, whose value is made if it is new.
    #[inline]
    pub fn place(&mut self, text: &str, value: impl FnOnce() -> V) -> usize {
        self.find(text).unwrap_or_else(|| self.keep(text, value()))
    }

    /// Keeps a value, in the place of an older one for the same text. Other places lose their meaning.
    pub fn keep(&mut self, text: &str, value: V) -> usize {
        if self.values.len() >= ENTRIES || self.bytes >= BYTES {
            *self = Memo::default();
        }
        let place = self.values.len();
        self.values.push(value);
        self.bytes += text.len();
        self.places.insert(text.into(), u32::try_from(place).expect("fewer entries than the limit"));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_of_a_text_is_found() {
        let mut memo = Memo::default();
        assert_eq!(memo.find("a"), None);
        memo.keep("a", 1);
        let place = memo.keep("a", 2);
        assert_eq!((memo.find("a"), *memo.at(place)), (Some(place), 2));
    }

    #[test]
    fn any_number_of_texts_fits() {
        let mut memo = Memo::default();
        for n in 0..3 * ENTRIES {
            let place = memo.keep(&n.to_string(), n);
            assert_eq!(*memo.at(place), n);
            assert!(memo.values.len() <= ENTRIES);
        }
        let long = "x".repeat(BYTES);
        memo.keep(&long, 0);
        memo.keep("y", 1);
        assert_eq!(memo.find(&long), None);
    }
}
