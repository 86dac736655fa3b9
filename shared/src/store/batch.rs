//! Statements for many rows.
//!
//! Such a statement has a group of parameters for each row, so every number of rows is a text of its own that has to be
//! prepared. To keep the texts few, and to need one statement where several would do, rows go in pieces of few sizes,
//! and a piece that is too short for its size is filled up with copies of its last row. Copies change nothing in a list
//! and in an update; an insert leaves them out, see [`insert_into`].

use std::iter::repeat_n;

use sqlx::{Database, Encode, QueryBuilder, Type};

/// How many rows a statement is made for.
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The rows of one statement.
pub(crate) struct Piece<'a, T> {
    rows: &'a [T],
    copies: usize,
}

/// Cuts rows into as few pieces as can be.
pub(crate) fn pieces<T>(rows: &[T]) -> impl Iterator<Item = Piece<'_, T>> {
    let most = SIZES[SIZES.len() - 1];
    rows.chunks(most).map(|rows| {
        let size = SIZES.into_iter().find(|size| *size >= rows.len());
        Piece { rows, copies: size.map_or(0, |size| size - rows.len()) }
    })
}

impl<'a, T> Piece<'a, T> {
    /// How many rows it has without copies.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows with copies.
    pub fn filled(&self) -> impl Iterator<Item = &'a T> {
        self.marked().map(|(_, row)| row)
    }

    /// Pushes the rows with copies as parameters between the brackets of `in (…)`.
    pub fn push_list<'q, D: Database>(&self, q: &mut QueryBuilder<D>)
    where
        T: Encode<'q, D> + Type<D>,
    {
        let mut list = q.separated(", ");
        for row in self.filled() {
            list.push_bind(row);
        }
    }

    /// The rows, each with true; then the copies, with false.
    pub fn marked(&self) -> impl Iterator<Item = (bool, &'a T)> {
        let rows = self.rows.iter().map(|row| (true, row));
        rows.chain(self.rows.last().into_iter().flat_map(|last| repeat_n((false, last), self.copies)))
    }
}

/// The beginning of an insert into `"table (a, b)"`; then come the [`Piece::marked`] rows, the mark before the values of
/// the columns, and [`INSERT_END`].
pub(crate) fn insert_into(table: &str) -> String {
    let mut sql = format!("insert into {table} select v.column2");
    for number in 3..table.matches(',').count() + 3 {
        sql += ", v.column";
        sql += &number.to_string();
    }
    sql + " from ("
}

/// What follows on the rows of an insert.
pub(crate) const INSERT_END: &str = ") as v where v.column1";

/// Builds and runs one statement on either engine: `batch!(tx, |q| { q.push("…"); … })` gives the rows affected.
macro_rules! batch {
    ($tx:expr, |$q:ident| $build:block) => {
        on!($tx, |c| {
            let mut $q = sqlx::QueryBuilder::new("");
            $build
            $q.build().execute(&mut *c).await?.rows_affected()
        })
    };
}
pub(crate) use batch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_few_pieces_that_are_filled_up() {
        let rows: Vec<usize> = (0..67).collect();
        let cut: Vec<_> = pieces(&rows).map(|piece| (piece.len(), piece.filled().count())).collect();
        assert_eq!(cut, [(64, 64), (3, 4)]);
        assert_eq!(pieces(&rows[..0]).count(), 0);
        let one: Vec<_> = pieces(&rows[..5]).flat_map(|piece| piece.marked().collect::<Vec<_>>()).collect();
        let expected = [(true, 0), (true, 1), (true, 2), (true, 3), (true, 4), (false, 4), (false, 4), (false, 4)];
        assert_eq!(one, expected.each_ref().map(|(real, row)| (*real, row)));
    }

    #[test]
    fn every_number_of_rows_fits_a_size() {
        let rows = [0; 200];
        for count in 0..=rows.len() {
            let sizes: Vec<_> = pieces(&rows[..count]).map(|piece| piece.filled().count()).collect();
            assert!(sizes.iter().all(|size| SIZES.contains(size)), "{count}: {sizes:?}");
            assert_eq!(pieces(&rows[..count]).map(|piece| piece.len()).sum::<usize>(), count);
        }
    }

    #[test]
    fn an_insert_takes_the_columns_behind_the_mark() {
        assert_eq!(insert_into("t (a, b)"), "insert into t (a, b) select v.column2, v.column3 from (");
        assert_eq!(insert_into("t (a)"), "insert into t (a) select v.column2 from (");
    }
}
