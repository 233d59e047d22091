//! The columns of the event table under construction.
//!
//! A row sets what it has; what lies between is filled with nulls when the next value or the end comes, so a column that
//! a record lacks costs nothing. Texts that come together (all that a resource id says, all that the claims say) are
//! kept once a batch and pointed to: dictionary columns, whose keys the columns of a group share.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, DictionaryArray, Int32Array, Int32Builder, Int64Builder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::Int32Type;

use super::schema;

/// What [`Sparse`] needs of a builder.
pub(super) trait Build: ArrayBuilder {
    /// A value of the column.
    type Item<'a>;

    /// Empty, with room for so many rows and bytes of values.
    fn with_room(rows: usize, bytes: usize) -> Self;

    fn put(&mut self, item: Self::Item<'_>);

    fn nulls(&mut self, rows: usize);

    /// Bytes of its values, where they have no fixed width.
    fn bytes(&self) -> usize {
        0
    }
}

impl Build for StringBuilder {
    type Item<'a> = &'a str;

    fn with_room(rows: usize, bytes: usize) -> Self {
        StringBuilder::with_capacity(rows, bytes)
    }

    fn put(&mut self, item: &str) {
        self.append_value(item);
    }

    fn nulls(&mut self, rows: usize) {
        self.append_nulls(rows);
    }

    fn bytes(&self) -> usize {
        self.values_slice().len()
    }
}

impl Build for BinaryBuilder {
    type Item<'a> = &'a [u8];

    fn with_room(rows: usize, bytes: usize) -> Self {
        BinaryBuilder::with_capacity(rows, bytes)
    }

    fn put(&mut self, item: &[u8]) {
        self.append_value(item);
    }

    fn nulls(&mut self, rows: usize) {
        self.append_nulls(rows);
    }

    fn bytes(&self) -> usize {
        self.values_slice().len()
    }
}

macro_rules! fixed {
    ($($builder:ty: $item:ty = $new:expr;)*) => {$(
        impl Build for $builder {
            type Item<'a> = $item;

            fn with_room(rows: usize, _: usize) -> Self {
                ($new)(rows)
            }

            fn put(&mut self, item: $item) {
                self.append_value(item);
            }

            fn nulls(&mut self, rows: usize) {
                self.append_nulls(rows);
            }
        }
    )*};
}

fixed! {
    BooleanBuilder: bool = BooleanBuilder::with_capacity;
    Int32Builder: i32 = Int32Builder::with_capacity;
    Int64Builder: i64 = Int64Builder::with_capacity;
    TimestampMicrosecondBuilder: i64 =
        |rows| TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC");
}

/// A column that holds the rows up to the last one with a value.
#[derive(Debug)]
pub(super) struct Sparse<B> {
    builder: B,
}

impl<B: Build> Sparse<B> {
    fn with_room(rows: usize, bytes: usize) -> Self {
        Sparse { builder: B::with_room(rows, bytes) }
    }

    /// Empty, with room for as much as this one holds, if it holds anything.
    fn like(&self, rows: usize) -> Self {
        let rows = if self.builder.is_empty() { 0 } else { roomy(rows) };
        Self::with_room(rows, roomy(self.builder.bytes()))
    }

    /// The value of a row behind all rows that have one.
    #[inline]
    pub fn set(&mut self, row: usize, item: B::Item<'_>) {
        let held = self.builder.len();
        if held < row {
            self.builder.nulls(row - held);
        }
        self.builder.put(item);
    }

    /// The same where there is one.
    #[inline]
    pub fn set_some(&mut self, row: usize, item: Option<B::Item<'_>>) {
        if let Some(item) = item {
            self.set(row, item);
        }
    }

    fn finish(&mut self, rows: usize, name: &str) -> ArrayRef {
        if self.builder.is_empty() {
            return new_null_array(schema::batch().field(schema::index(name)).data_type(), rows);
        }
        self.builder.nulls(rows - self.builder.len());
        Arc::new(self.builder.finish())
    }
}

/// Where a group holds some texts; of use in one batch only.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    batch: u64,
    at: i32,
}

/// Text columns of which every row points to one entry.
#[derive(Debug)]
pub(super) struct Group<const N: usize> {
    batch: u64,
    codes: Vec<i32>,
    entries: [StringBuilder; N],
}

impl<const N: usize> Group<N> {
    fn new(batch: u64, rows: usize) -> Self {
        Group { batch, codes: Vec::with_capacity(rows), entries: std::array::from_fn(|_| StringBuilder::new()) }
    }

    /// Empty, for the batch after this one.
    fn like(&self, rows: usize) -> Self {
        Self::new(self.batch + 1, roomy(rows))
    }

    /// The next row has the texts that `code` stands for; false where the code is of another batch.
    #[inline]
    pub fn again(&mut self, code: Code) -> bool {
        let known = code.batch == self.batch;
        if known {
            self.codes.push(code.at);
        }
        known
    }

    /// The next row has these texts.
    pub fn add(&mut self, texts: [Option<&str>; N]) -> Code {
        let at = i32::try_from(self.entries[0].len()).expect("a batch holds less than 2 billion rows");
        for (entries, text) in self.entries.iter_mut().zip(texts) {
            entries.append_option(text);
        }
        self.codes.push(at);
        Code { batch: self.batch, at }
    }

    fn finish(&mut self) -> [ArrayRef; N] {
        let keys = Int32Array::from(std::mem::take(&mut self.codes));
        self.entries.each_mut().map(|entries| {
            let column = DictionaryArray::<Int32Type>::try_new(keys.clone(), Arc::new(entries.finish()));
            Arc::new(column.expect("codes are places among the entries")) as ArrayRef
        })
    }
}

/// Blocks are of like size, so the batch before says how much room the next one takes; a sixteenth more than that.
fn roomy(size: usize) -> usize {
    size + size / 16
}

macro_rules! columns {
    (groups { $($group:ident: [$($member:ident),*],)* } columns { $($name:ident: $builder:ty,)* }) => {
        /// One builder a column or group of columns, named as in [`schema::COLUMNS`].
        #[derive(Debug)]
        pub(super) struct Columns {
            /// The row that is being filled.
            pub row: usize,
            $(pub $group: Group<{ [$(stringify!($member)),*].len() }>,)*
            $(pub $name: Sparse<$builder>,)*
        }

        impl Columns {
            /// Empty, with no room yet.
            pub fn new() -> Self {
                Columns {
                    row: 0,
                    $($group: Group::new(1, 0),)*
                    $($name: Sparse::with_room(0, 0),)*
                }
            }

            /// Empty, with room for as much as these hold.
            fn like(&self) -> Self {
                Columns {
                    row: 0,
                    $($group: self.$group.like(self.row),)*
                    $($name: self.$name.like(self.row),)*
                }
            }

            /// Every column under its name.
            fn arrays(&mut self) -> Vec<(&'static str, ArrayRef)> {
                let mut arrays = Vec::with_capacity(schema::COLUMNS.len());
                $(arrays.extend([$(stringify!($member)),*].into_iter().zip(self.$group.finish()));)*
                $(arrays.push((stringify!($name), self.$name.finish(self.row, stringify!($name))));)*
                arrays
            }
        }

        /// Columns that are dictionaries in a batch.
        pub(super) const GROUPED: &[&str] = &[$($(stringify!($member)),*),*];
    };
}

columns! {
    groups {
        resource: [resource_id, subscription_id, resource_group, vault_name],
        operation: [operation_name, operation_class],
        caller: [
            principal_id, principal_type, principal_name, app_id, object_id, user_principal_name,
            managed_identity_resource_id, token_issuer, token_address
        ],
        agent: [client_info, client_product],
    }
    columns {
        time: TimestampMicrosecondBuilder,
        outcome: StringBuilder,
        http_status_code: Int32Builder,
        object_name: StringBuilder,
        caller_ip: StringBuilder,
        event_id: BinaryBuilder,
        category: StringBuilder,
        object_type: StringBuilder,
        object_version: StringBuilder,
        denial_reason: StringBuilder,
        result_signature: StringBuilder,
        result_description: StringBuilder,
        duration_ms: Int64Builder,
        caller_port: Int32Builder,
        request_uri: StringBuilder,
        correlation_id: StringBuilder,
        tls_version: StringBuilder,
        is_rbac_authorized: BooleanBuilder,
        is_access_policy_match: BooleanBuilder,
        is_address_authorized: BooleanBuilder,
        address_authorization_type: StringBuilder,
        applied_assignment_id: StringBuilder,
        trusted_service: StringBuilder,
        subnet_id: StringBuilder,
        private_endpoint_id: StringBuilder,
        algorithm: StringBuilder,
        key_type: StringBuilder,
        key_size: Int32Builder,
        change_kind: StringBuilder,
        target_principal_id: StringBuilder,
        granted_permissions: StringBuilder,
        role_definition_id: StringBuilder,
        network_default_action: StringBuilder,
        added_ip_rule: StringBuilder,
        purge_protection: BooleanBuilder,
        soft_delete_days: Int32Builder,
        rbac_enabled: BooleanBuilder,
        object_enabled: BooleanBuilder,
        key_operations: StringBuilder,
        expires_at: TimestampMicrosecondBuilder,
        sku: StringBuilder,
        extra: StringBuilder,
        source: StringBuilder,
        ingested_at: TimestampMicrosecondBuilder,
    }
}

impl Columns {
    /// What was appended, as a batch of [`schema::batch`], and empty columns for the next batch.
    pub fn finish(mut self) -> (RecordBatch, Columns) {
        let next = self.like();
        let mut arrays = self.arrays();
        arrays.sort_by_cached_key(|(name, _)| schema::index(name));
        let batch = RecordBatch::try_new(schema::batch(), arrays.into_iter().map(|(_, array)| array).collect());
        (batch.expect("every row fills every group and the columns are the schema's: a test holds them together"), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    #[test]
    fn the_builders_are_the_schema() {
        let mut names: Vec<_> = Columns::new().arrays().into_iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| schema::index(name));
        assert_eq!(names, schema::COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>());
        let batch = Columns::new().finish().0;
        assert_eq!((batch.num_rows(), batch.schema()), (0, schema::batch()));
    }

    #[test]
    fn nulls_stay_where_they_were_put() {
        for texts in
            [vec![], vec![None, None], vec![Some("a"), Some("b")], vec![None, Some("a"), None, None, Some(""), None]]
        {
            let mut column = Sparse::<StringBuilder>::with_room(0, 0);
            for _ in 0..2 {
                texts.iter().enumerate().for_each(|(row, text)| column.set_some(row, *text));
                let array = column.finish(texts.len(), "outcome");
                assert_eq!(array.as_ref(), &StringArray::from(texts.clone()) as &dyn arrow::array::Array, "{texts:?}");
            }
        }
    }

    #[test]
    fn a_code_is_good_for_its_batch_only() {
        let mut group = Group::<2>::new(1, 0);
        assert!(!group.again(Code::default()));
        let code = group.add([Some("a"), None]);
        assert!(group.again(code));
        group.add([Some("b"), Some("c")]);
        let next = group.like(3);
        let [first, second] = group.finish().map(|array| {
            let plain = arrow::compute::cast(&array, &arrow::datatypes::DataType::Utf8).expect("a dictionary of text");
            plain.as_any().downcast_ref::<StringArray>().expect("cast to it").clone()
        });
        assert_eq!(first, StringArray::from(vec!["a", "a", "b"]));
        assert_eq!(second, StringArray::from(vec![None, None, Some("c")]));
        assert!(!{ next }.again(code));
    }
}
