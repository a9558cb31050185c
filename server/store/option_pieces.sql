-- Parts of buckets of options that have begun: what is stored of them, to be gone on with.

-- name: of_contracts
-- Figures of contracts ($1) over the minutes that begin in [$2, $3), one row each.
SELECT instrument_id, sum(samples)::integer AS samples,
       sum(volatility_sum) AS volatility_sum, sum(delta_sum) AS delta_sum, sum(gamma_sum) AS gamma_sum,
       sum(theta_sum) AS theta_sum, sum(vega_sum) AS vega_sum, sum(rho_sum) AS rho_sum,
       sum(volatility_count)::integer AS volatility_count, sum(delta_count)::integer AS delta_count,
       sum(gamma_count)::integer AS gamma_count, sum(theta_count)::integer AS theta_count,
       sum(vega_count)::integer AS vega_count, sum(rho_count)::integer AS rho_count,
       last(volatility, open_time) FILTER (WHERE volatility IS NOT NULL) AS volatility_last,
       last(delta, open_time) FILTER (WHERE delta IS NOT NULL) AS delta_last,
       last(gamma, open_time) FILTER (WHERE gamma IS NOT NULL) AS gamma_last,
       last(theta, open_time) FILTER (WHERE theta IS NOT NULL) AS theta_last,
       last(vega, open_time) FILTER (WHERE vega IS NOT NULL) AS vega_last,
       last(rho, open_time) FILTER (WHERE rho IS NOT NULL) AS rho_last,
       last(vanna, open_time) FILTER (WHERE vanna IS NOT NULL) AS vanna_last,
       last(vomma, open_time) FILTER (WHERE vomma IS NOT NULL) AS vomma_last,
       last(charm, open_time) FILTER (WHERE charm IS NOT NULL) AS charm_last,
       last(speed, open_time) FILTER (WHERE speed IS NOT NULL) AS speed_last,
       last(zomma, open_time) FILTER (WHERE zomma IS NOT NULL) AS zomma_last,
       last(colour, open_time) FILTER (WHERE colour IS NOT NULL) AS colour_last,
       last(spread, open_time) FILTER (WHERE spread IS NOT NULL) AS spread,
       last(spread_pct, open_time) FILTER (WHERE spread IS NOT NULL) AS spread_pct,
       last(imbalance_pct, open_time) FILTER (WHERE spread IS NOT NULL) AS imbalance_pct,
       last(pressure, open_time) FILTER (WHERE spread IS NOT NULL) AS pressure,
       last(microprice, open_time) FILTER (WHERE spread IS NOT NULL) AS microprice,
       last(liquidity_score, open_time) FILTER (WHERE spread IS NOT NULL) AS score,
       last(close, open_time) FILTER (WHERE close IS NOT NULL) AS close,
       sum(volume)::bigint AS volume,
       last(open_interest, open_time) FILTER (WHERE open_interest IS NOT NULL) AS open_interest
FROM option_bars_1m
WHERE instrument_id = ANY ($1::integer[]) AND open_time >= $2 AND open_time < $3
GROUP BY instrument_id;

-- name: minutes
-- In how many minutes of [$3, $4) the expiry ($2) of an underlying ($1) was valued, by expiry.
SELECT expiry, count(*)::integer AS minutes
FROM expiry_metrics
WHERE underlying = $1 AND expiry = ANY ($2::date[]) AND open_time >= $3 AND open_time < $4
GROUP BY expiry;
