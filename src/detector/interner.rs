//! Each distinct value once, counted by those who refer to it, gone with the last of them.

use hashbrown::HashTable;

use super::memory::prefetch;

/// Values by number. A number stays right as long as somebody holds it.
pub struct Interner<T> {
    index: HashTable<u32>,
    slots: Vec<Slot<T>>,
    /// How many hold each number: apart from the values, since it changes far more often.
    holders: Vec<u32>,
    free: Vec<u32>,
}

struct Slot<T> {
    hash: u64,
    value: Option<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { index: HashTable::new(), slots: Vec::new(), holders: Vec::new(), free: Vec::new() }
    }
}

impl<T> Interner<T> {
    /// The number of a value that is there.
    pub fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |&id| self.value(id).is_some_and(&same)).copied()
    }

    /// Holds a value that is there, or keeps a new one; true where it is new.
    pub fn hold(
        &mut self,
        hash: u64,
        same: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> (u32, bool) {
        if let Some(id) = self.find(hash, same) {
            self.hold_again(id);
            return (id, false);
        }
        let slot = Slot { hash, value: Some(make()) };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                self.holders[id as usize] = 1;
                id
            }
            None => {
                self.slots.push(slot);
                self.holders.push(1);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, id, |&id| slots[id as usize].hash);
        (id, true)
    }

    /// One more holder of a number that is held already.
    #[inline]
    pub fn hold_again(&mut self, id: u32) {
        self.holders[id as usize] += 1;
    }

    /// One holder less; the value itself when that was the last.
    #[inline]
    pub fn release(&mut self, id: u32) -> Option<T> {
        let holders = &mut self.holders[id as usize];
        *holders -= 1;
        if *holders > 0 { None } else { self.give_up(id) }
    }

    fn give_up(&mut self, id: u32) -> Option<T> {
        let slot = &mut self.slots[id as usize];
        let value = slot.value.take();
        let hash = slot.hash;
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.free.push(id);
        value
    }

    /// The value of a number that is held.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        self.value(id).expect("a number is looked up only while it is held")
    }

    /// The value of a number, if it is held.
    #[inline]
    pub fn held(&self, id: u32) -> Option<&T> {
        self.slots.get(id as usize)?.value.as_ref()
    }

    /// Hints that the value of a number is wanted soon.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        if let Some(slot) = self.slots.get(id as usize) {
            prefetch(slot);
        }
    }

    /// The numbers of all values that are held.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.index.iter().copied()
    }

    /// All numbers are below this.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// How many distinct values are held.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Every value that is held, by number.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, id)| Some((id, slot.value.as_ref()?)))
    }

    /// Keeps a value that is not there yet for so many holders, at least one. Numbers count up from
    /// zero as long as none was released.
    pub fn load(&mut self, hash: u64, value: T, holders: u32) -> u32 {
        let (id, _) = self.hold(hash, |_| false, || value);
        self.holders[id as usize] = holders;
        id
    }

    fn value(&self, id: u32) -> Option<&T> {
        self.slots[id as usize].value.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_with_its_last_holder_and_its_number_is_used_again() {
        let mut interner = Interner::default();
        let hold = |interner: &mut Interner<String>, text: &str| {
            interner.hold(text.len() as u64, |other| other == text, || text.to_owned())
        };
        let (a, new) = hold(&mut interner, "a");
        assert!(new);
        assert_eq!(hold(&mut interner, "a"), (a, false));
        let (b, _) = hold(&mut interner, "b");
        assert_ne!(a, b);
        assert_eq!(interner.release(a), None);
        assert_eq!(interner.release(a), Some("a".to_owned()));
        assert_eq!(interner.len(), 1);
        assert_eq!(hold(&mut interner, "c"), (a, true));
        assert_eq!(interner.get(b), "b");
    }
}
