-- What `billing.py verify` asks the books: each query returns a line for each difference, and none if there is none.
-- told_charges and told_deltas are what the topics say up to where is booked. Where topics begin later than the books, because they forget,
-- told.complete is false: then rows that only the books have are no difference.

-- each account's deltas are numbered 1, 2, 3 ...
select format('%s: %s deltas, numbered %s to %s', account_id, count(*), min(sequence), max(sequence)) from ledger
group by account_id having min(sequence) <> 1 or max(sequence) <> count(*);

-- each balance is the one before plus the change
select format('%s: delta %s: %s and %s are not %s', account_id, sequence, before, amount, balance_after) from
(select *, lag(balance_after, 1, 0.0) over (partition by account_id order by sequence) as before from ledger) as steps
where before + amount <> balance_after;

-- balances are the sums of their deltas
select format('%s: balance %s at %s, deltas %s up to %s', account_id, balance, balances.sequence, total, last)
from balances full join (select account_id, sum(amount) as total, max(sequence) as last, min(currency) as currency from ledger
group by account_id having min(currency) = max(currency)) as sums using (account_id)
where (balance, sequence, balances.currency) is distinct from (total, last, sums.currency);

-- each charge is taken from its payer, once
select format('charge %s: %s of %s, deltas %s of %s', charge_id, amount, payer_id, taken, account_id) from charges full join
(select charge_id, account_id, currency, sum(amount) as taken from ledger where charge_id is not null group by 1, 2, 3) as taken
using (charge_id) where coalesce(amount, 0) <> -coalesce(taken, 0)
or taken is not null and (payer_id, charges.currency) is distinct from (account_id, taken.currency);

-- reversals take back what they name
select format('charge %s: %s reverses %s of %s', b.charge_id, b.amount, a.amount, a.charge_id)
from charges as b left join charges as a on a.charge_id = b.reverses where b.kind = 'reversal'
and (-b.amount, b.payer_id, b.payee_id, b.currency) is distinct from (a.amount, a.payer_id, a.payee_id, a.currency);

-- charges are those of the topic
select format('charge %s: booked %s %s, told %s %s', charge_id, b.amount, b.currency, t.amount, t.currency)
from charges as b full join told_charges as t using (charge_id) where (current_setting('told.complete')::bool or t.amount is not null)
and (b.payer_id, b.amount, b.currency) is distinct from (t.payer_id, t.amount, t.currency);

-- deltas and balances are those of the topic
select format('%s: delta %s: booked %s to %s, told %s to %s', account_id, sequence, b.amount, b.balance_after, t.amount, t.balance_after)
from ledger as b full join told_deltas as t using (account_id, sequence) where (current_setting('told.complete')::bool or t.amount is not null)
and (b.amount, b.currency, b.balance_after) is distinct from (t.amount, t.currency, t.balance_after);

-- the last balance of each account is the pipeline's
select format('%s: balance %s at %s, told %s at %s', account_id, b.balance, b.sequence, t.balance_after, t.sequence)
from balances as b full join (select distinct on (account_id) * from told_deltas order by account_id, sequence desc) as t
using (account_id) where (current_setting('told.complete')::bool or t.amount is not null)
and (b.balance, b.sequence) is distinct from (t.balance_after, t.sequence);

-- totals
select currency, coalesce(charged, 0), coalesce(taken, 0), coalesce(other, 0), coalesce(owed, 0), coalesce(told::text, 'not all there'),
    coalesce(charged, 0) = -coalesce(taken, 0) and coalesce(taken, 0) + coalesce(other, 0) = coalesce(owed, 0)
    and (coalesce(told, 0) = coalesce(owed, 0) or not current_setting('told.complete')::bool)
from (select currency, sum(amount) as charged from charges group by currency) as c
full join (select currency, sum(amount) filter (where charge_id is not null) as taken, sum(amount) filter (where charge_id is null) as other
    from ledger group by currency) as l using (currency)
full join (select currency, sum(balance) as owed from balances group by currency) as b using (currency)
full join (select currency, sum(amount) as told from told_deltas where current_setting('told.complete')::bool group by currency) as t
    using (currency) order by currency;
