//! The columns of the event table under construction.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondBuilder,
};

use super::schema;

/// A builder that knows how much room it took, for the batch after it.
trait Room {
    fn with_room(rows: usize, bytes: usize) -> Self;

    /// Bytes of its values, where they have no fixed width.
    fn bytes(&self) -> usize {
        0
    }
}

/// A text column. Most columns of most records are null: nulls are only counted until a text follows them, and a
/// column without any text costs neither time nor memory.
#[derive(Debug)]
pub(super) struct Texts {
    builder: StringBuilder,
    /// Nulls behind what the builder holds.
    nulls: usize,
}

impl Texts {
    pub fn append_value(&mut self, text: impl AsRef<str>) {
        if self.nulls > 0 {
            self.builder.append_nulls(std::mem::take(&mut self.nulls));
        }
        self.builder.append_value(text);
    }

    pub fn append_null(&mut self) {
        self.nulls += 1;
    }

    pub fn append_option(&mut self, text: Option<impl AsRef<str>>) {
        match text {
            Some(text) => self.append_value(text),
            None => self.append_null(),
        }
    }

    fn finish(&mut self) -> StringArray {
        use arrow::array::ArrayBuilder;
        let nulls = std::mem::take(&mut self.nulls);
        if self.builder.is_empty() {
            return StringArray::new_null(nulls);
        }
        self.builder.append_nulls(nulls);
        self.builder.finish()
    }
}

impl Room for Texts {
    fn with_room(rows: usize, bytes: usize) -> Self {
        // Without a text in the batch before, there will hardly be one in the next.
        let rows = if bytes == 0 { 0 } else { rows };
        Texts { builder: StringBuilder::with_capacity(rows, bytes), nulls: 0 }
    }

    fn bytes(&self) -> usize {
        self.builder.values_slice().len()
    }
}

impl Room for BinaryBuilder {
    fn with_room(rows: usize, bytes: usize) -> Self {
        BinaryBuilder::with_capacity(rows, bytes)
    }

    fn bytes(&self) -> usize {
        self.values_slice().len()
    }
}

impl Room for TimestampMicrosecondBuilder {
    fn with_room(rows: usize, _: usize) -> Self {
        TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")
    }
}

impl Room for BooleanBuilder {
    fn with_room(rows: usize, _: usize) -> Self {
        BooleanBuilder::with_capacity(rows)
    }
}

impl Room for Int32Builder {
    fn with_room(rows: usize, _: usize) -> Self {
        Int32Builder::with_capacity(rows)
    }
}

impl Room for Int64Builder {
    fn with_room(rows: usize, _: usize) -> Self {
        Int64Builder::with_capacity(rows)
    }
}

/// Blocks are of like size, so the batch before says how much room the next one takes; a sixteenth more than that.
fn roomy(size: usize) -> usize {
    size + size / 16
}

macro_rules! columns {
    ($($name:ident: $builder:ty,)*) => {
        /// One builder a column, named as in [`schema::COLUMNS`] and in that order.
        #[derive(Debug)]
        pub(super) struct Columns {
            $(pub $name: $builder,)*
        }

        impl Columns {
            /// Empty, with no room yet.
            pub fn new() -> Self {
                Columns { $($name: Room::with_room(0, 0),)* }
            }

            /// Empty, with room for as much as these hold.
            fn like(&self) -> Self {
                let rows = roomy(self.rows());
                Columns { $($name: Room::with_room(rows, roomy(Room::bytes(&self.$name))),)* }
            }

            fn arrays(&mut self) -> Vec<ArrayRef> {
                vec![$(Arc::new(self.$name.finish()),)*]
            }

            #[cfg(test)]
            const NAMES: &[&str] = &[$(stringify!($name),)*];
        }
    };
}

columns! {
    time: TimestampMicrosecondBuilder,
    vault_name: Texts,
    principal_id: Texts,
    operation_name: Texts,
    outcome: Texts,
    http_status_code: Int32Builder,
    object_name: Texts,
    caller_ip: Texts,
    event_id: BinaryBuilder,
    category: Texts,
    operation_class: Texts,
    object_type: Texts,
    object_version: Texts,
    resource_id: Texts,
    subscription_id: Texts,
    resource_group: Texts,
    denial_reason: Texts,
    result_signature: Texts,
    result_description: Texts,
    duration_ms: Int64Builder,
    principal_type: Texts,
    principal_name: Texts,
    app_id: Texts,
    object_id: Texts,
    user_principal_name: Texts,
    managed_identity_resource_id: Texts,
    token_issuer: Texts,
    token_address: Texts,
    caller_port: Int32Builder,
    client_info: Texts,
    client_product: Texts,
    request_uri: Texts,
    correlation_id: Texts,
    tls_version: Texts,
    is_rbac_authorized: BooleanBuilder,
    is_access_policy_match: BooleanBuilder,
    is_address_authorized: BooleanBuilder,
    address_authorization_type: Texts,
    applied_assignment_id: Texts,
    trusted_service: Texts,
    subnet_id: Texts,
    private_endpoint_id: Texts,
    algorithm: Texts,
    key_type: Texts,
    key_size: Int32Builder,
    change_kind: Texts,
    target_principal_id: Texts,
    granted_permissions: Texts,
    role_definition_id: Texts,
    network_default_action: Texts,
    added_ip_rule: Texts,
    purge_protection: BooleanBuilder,
    soft_delete_days: Int32Builder,
    rbac_enabled: BooleanBuilder,
    object_enabled: BooleanBuilder,
    key_operations: Texts,
    expires_at: TimestampMicrosecondBuilder,
    sku: Texts,
    extra: Texts,
    source: Texts,
    ingested_at: TimestampMicrosecondBuilder,
}

impl Columns {
    /// Rows so far.
    pub fn rows(&self) -> usize {
        use arrow::array::ArrayBuilder;
        self.time.len()
    }

    /// What was appended, as a batch of [`schema::events`], and empty columns for the next batch.
    pub fn finish(mut self) -> (RecordBatch, Columns) {
        let next = self.like();
        let batch = RecordBatch::try_new(schema::events(), self.arrays());
        (
            batch.expect("every row fills every column and the columns are the schema's: a test holds them together"),
            next,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builders_are_the_schema() {
        let names: Vec<_> = schema::COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(Columns::NAMES, names);
        let batch = Columns::new().finish().0;
        assert_eq!((batch.num_rows(), batch.schema()), (0, schema::events()));
    }

    #[test]
    fn nulls_stay_where_they_were_put() {
        for texts in
            [vec![], vec![None, None], vec![Some("a"), Some("b")], vec![None, Some("a"), None, None, Some(""), None]]
        {
            let mut column = Texts::with_room(0, 0);
            for _ in 0..2 {
                texts.iter().for_each(|text| column.append_option(*text));
                assert_eq!(column.finish(), StringArray::from(texts.clone()), "{texts:?}");
            }
        }
    }
}
