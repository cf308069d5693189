//! Which cells of the board are taken. Every process has one of its own, so that a worker and its
//! successor never write over each other's heartbeat.
use hotline::board::CELLS_MAX;

pub(super) struct Cells {
    taken: Vec<bool>,
}

impl Cells {
    pub(super) fn new() -> Self {
        Self { taken: vec![false; usize::from(CELLS_MAX)] }
    }

    /// The lowest free cell.
    pub(super) fn take(&mut self) -> Option<u16> {
        let free = self.taken.iter().position(|taken| !taken)?;
        self.taken[free] = true;
        u16::try_from(free).ok()
    }

    pub(super) fn give_back(&mut self, cell: u16) {
        self.taken[usize::from(cell)] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_given_twice_and_none_is_lost() {
        let mut cells = Cells::new();
        let all: Vec<u16> = std::iter::from_fn(|| cells.take()).collect();
        assert_eq!(all, (0..CELLS_MAX).collect::<Vec<_>>());
        cells.give_back(7);
        assert_eq!((cells.take(), cells.take()), (Some(7), None));
    }
}
