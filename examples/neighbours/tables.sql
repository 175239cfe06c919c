-- The books. `billing.py run` makes these tables where they are not there yet.
-- Money is numeric(28,10), as in the messages: exact. Rows of charges, segments and ledger are never changed: a mistake is reversed.

create table charges (
    charge_id text primary key, revision int not null, kind text not null, reverses text unique references charges,
    usage_source text, usage_id text, level int, payer_id text not null, payee_id text not null, endpoint_id text, service text not null,
    event_time timestamptz not null, quantity bigint not null, unit text not null,
    amount numeric(28,10) not null, currency text not null, reason text not null);
create table segments (
    charge_id text references charges, number int, source text not null, quantity bigint not null, billable_quantity bigint not null,
    unit_price numeric(28,10), per_units bigint, amount numeric(28,10) not null, tariff_id text, zone text, bundle_id text,
    primary key (charge_id, number));
create table ledger (
    account_id text, sequence bigint, delta_id text not null unique, kind text not null, amount numeric(28,10) not null,
    currency text not null, balance_after numeric(28,10) not null, charge_id text, command_id text, reverses text references ledger (delta_id),
    effective_time timestamptz not null, primary key (account_id, sequence));
create table balances (
    account_id text primary key, currency text not null, balance numeric(28,10) not null, sequence bigint not null);
create table offsets (topic text, partition int, next_offset bigint not null, primary key (topic, partition));
create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'rows of % are never changed: book a reversal', tg_table_name; end $$;
create trigger append_only before update or delete or truncate on charges execute function refuse();
create trigger append_only before update or delete or truncate on segments execute function refuse();
create trigger append_only before update or delete or truncate on ledger execute function refuse();
