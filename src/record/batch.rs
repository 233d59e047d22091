//! The columns of the event table under construction.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
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

impl Room for StringBuilder {
    fn with_room(rows: usize, bytes: usize) -> Self {
        StringBuilder::with_capacity(rows, bytes)
    }

    fn bytes(&self) -> usize {
        self.values_slice().len()
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
    vault_name: StringBuilder,
    principal_id: StringBuilder,
    operation_name: StringBuilder,
    outcome: StringBuilder,
    http_status_code: Int32Builder,
    object_name: StringBuilder,
    caller_ip: StringBuilder,
    event_id: BinaryBuilder,
    category: StringBuilder,
    operation_class: StringBuilder,
    object_type: StringBuilder,
    object_version: StringBuilder,
    resource_id: StringBuilder,
    subscription_id: StringBuilder,
    resource_group: StringBuilder,
    denial_reason: StringBuilder,
    result_signature: StringBuilder,
    result_description: StringBuilder,
    duration_ms: Int64Builder,
    principal_type: StringBuilder,
    principal_name: StringBuilder,
    app_id: StringBuilder,
    object_id: StringBuilder,
    user_principal_name: StringBuilder,
    managed_identity_resource_id: StringBuilder,
    token_issuer: StringBuilder,
    token_address: StringBuilder,
    caller_port: Int32Builder,
    client_info: StringBuilder,
    client_product: StringBuilder,
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
}
