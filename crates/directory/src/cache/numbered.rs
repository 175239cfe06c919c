//! Names as numbers that stay the same from epoch to epoch, so that packed endpoints outlive a change of accounts or tariffs.

use hashbrown::HashMap;
use std::sync::Arc;

/// Names that were ever met, and what each of them names in one epoch.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    numbers: HashMap<Arc<str>, u32>,
    values: Vec<Option<T>>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Numbered<T> {
        Numbered { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T> Numbered<T> {
    /// The same numbers, and new ones for new names; names that are not among these name nothing any more.
    pub(super) fn renewed<'n>(&self, named: impl Iterator<Item = (&'n str, T)>) -> Numbered<T> {
        let mut renewed =
            Numbered { numbers: self.numbers.clone(), values: self.values.iter().map(|_| None).collect() };
        for (name, value) in named {
            match renewed.numbers.get(name).and_then(|number| renewed.values.get_mut(*number as usize)) {
                Some(place) => *place = Some(value),
                None => {
                    renewed.numbers.insert(name.into(), renewed.values.len() as u32);
                    renewed.values.push(Some(value));
                }
            }
        }
        renewed
    }

    /// The number of a name that names something.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let number = *self.numbers.get(name)?;
        self.value(number).map(|_| number)
    }

    /// What a number stands for.
    pub(super) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)?.as_ref()
    }
}
