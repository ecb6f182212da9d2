-- Plans, subscriptions, promo codes, quotas; money and quota change only through the quota_ functions.

CREATE TABLE billing_customers (provider text NOT NULL CHECK (provider IN ('stripe','revenuecat')), customer_id text NOT NULL,
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (provider, customer_id),
  UNIQUE (provider, user_id));
CREATE TABLE plan_prices (price_id text PRIMARY KEY, provider text NOT NULL CHECK (provider IN ('stripe','revenuecat')),
  tier smallint NOT NULL CHECK (tier IN (1,2)), amount integer NOT NULL CHECK (amount >= 0), currency char(3) NOT NULL,
  billing_interval text NOT NULL CHECK (billing_interval IN ('month','year')), active boolean NOT NULL DEFAULT true);
INSERT INTO plan_prices VALUES
  ('price_pro','stripe',1,999,'usd','month',true), ('price_max','stripe',2,1999,'usd','month',true),
  ('sx_pro_monthly','revenuecat',1,999,'usd','month',true), ('sx_max_monthly','revenuecat',2,1999,'usd','month',true);
CREATE TABLE subscriptions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  provider text NOT NULL CHECK (provider IN ('stripe','revenuecat')), provider_subscription_id text NOT NULL,
  price_id text NOT NULL REFERENCES plan_prices(price_id), tier smallint NOT NULL CHECK (tier IN (1,2)),
  status text NOT NULL CHECK (status IN ('active','trialing','past_due','unpaid','paused','cancelled')), pending_tier smallint CHECK (pending_tier IN (1,2)),
  current_period_end timestamptz, resumes_at timestamptz, cancel_at_period_end boolean NOT NULL DEFAULT false, version integer NOT NULL DEFAULT 1,
  provider_updated_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (provider, provider_subscription_id));
CREATE INDEX subscriptions_user ON subscriptions (user_id);
CREATE VIEW user_tiers AS                          -- the only source of the effective tier
  SELECT u.id AS user_id, COALESCE(max(s.tier) FILTER (WHERE s.status IN ('active','trialing','past_due')), 0)::smallint AS tier
  FROM users u LEFT JOIN subscriptions s ON s.user_id = u.id GROUP BY u.id;
CREATE TABLE payment_transactions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid REFERENCES users(id) ON DELETE SET NULL,
  provider text NOT NULL, provider_ref text NOT NULL, kind text NOT NULL CHECK (kind IN ('payment','failure','refund')), amount bigint NOT NULL,
  currency char(3) NOT NULL, occurred_at timestamptz NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (provider, provider_ref, kind));
CREATE INDEX payment_transactions_user ON payment_transactions (user_id, occurred_at DESC);
CREATE TABLE promo_codes (code text PRIMARY KEY CHECK (code = upper(code)), kind text NOT NULL CHECK (kind IN ('quota_bonus','discount','trial')),
  quota_type text, bonus_amount integer CHECK (bonus_amount > 0), percent_off smallint CHECK (percent_off BETWEEN 1 AND 100),
  trial_days smallint CHECK (trial_days > 0), max_redemptions integer, redeemed_count integer NOT NULL DEFAULT 0, valid_from timestamptz,
  valid_until timestamptz, active boolean NOT NULL DEFAULT true, CHECK (max_redemptions IS NULL OR redeemed_count <= max_redemptions));
CREATE TABLE promo_redemptions (code text NOT NULL REFERENCES promo_codes(code), user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (code, user_id));
CREATE TABLE plan_quotas (
  tier smallint NOT NULL CHECK (tier BETWEEN 0 AND 2),
  quota_type text NOT NULL CHECK (quota_type IN ('chat','premium_model','image_generation','image_recognition','video','story')),
  limit_amount integer CHECK (limit_amount >= 0),  -- NULL = unlimited
  period text NOT NULL CHECK (period IN ('day','month')), PRIMARY KEY (tier, quota_type));
INSERT INTO plan_quotas VALUES
  (0,'chat',5,'day'),     (0,'premium_model',0,'month'),    (0,'image_generation',0,'month'),
  (0,'image_recognition',0,'month'),   (0,'video',10,'month'),   (0,'story',3,'month'),
  (1,'chat',NULL,'month'),(1,'premium_model',100,'month'),  (1,'image_generation',5,'month'),
  (1,'image_recognition',10,'month'),  (1,'video',120,'month'),  (1,'story',30,'month'),
  (2,'chat',NULL,'month'),(2,'premium_model',NULL,'month'), (2,'image_generation',NULL,'month'),
  (2,'image_recognition',NULL,'month'),(2,'video',NULL,'month'), (2,'story',NULL,'month');
CREATE TABLE user_quotas (                         -- counters only: limits come from plan_quotas through user_tiers
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, quota_type text NOT NULL,
  period_start timestamptz NOT NULL DEFAULT '-infinity',
  used integer NOT NULL DEFAULT 0 CHECK (used >= 0),   -- settled out of this period's allowance
  held integer NOT NULL DEFAULT 0 CHECK (held >= 0),   -- reserved out of this period's allowance
  bonus integer NOT NULL DEFAULT 0 CHECK (bonus >= 0), -- granted extra, spent after the allowance, never reset
  tokens_used bigint NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (user_id, quota_type));
CREATE TABLE quota_reservations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, quota_type text NOT NULL, period_start timestamptz NOT NULL,
  attempt_id text NOT NULL, subject text,          -- subject: conversation id for 'chat', otherwise NULL
  allowance integer NOT NULL CHECK (allowance >= 0), from_bonus integer NOT NULL CHECK (from_bonus >= 0),
  covered_by uuid REFERENCES quota_reservations(id) ON DELETE SET NULL,
  state text NOT NULL DEFAULT 'held' CHECK (state IN ('held','settled','refunded')),
  expires_at timestamptz NOT NULL DEFAULT now() + interval '15 minutes',
  created_at timestamptz NOT NULL DEFAULT now(), closed_at timestamptz,
  FOREIGN KEY (user_id, quota_type) REFERENCES user_quotas ON DELETE CASCADE);
CREATE UNIQUE INDEX quota_reservations_attempt ON quota_reservations (user_id, quota_type, attempt_id) WHERE state <> 'refunded';
CREATE UNIQUE INDEX quota_reservations_payer ON quota_reservations (user_id, quota_type, period_start, subject)
  WHERE subject IS NOT NULL AND covered_by IS NULL AND state <> 'refunded';
CREATE INDEX quota_reservations_held ON quota_reservations (expires_at) WHERE state = 'held';
CREATE INDEX quota_reservations_covered ON quota_reservations (covered_by) WHERE covered_by IS NOT NULL;
CREATE TABLE quota_grants (  -- every bonus, exactly once per source
  source_type text NOT NULL CHECK (source_type IN ('referral','streak','promo','support')), source_id text NOT NULL,
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, quota_type text NOT NULL, amount integer NOT NULL CHECK (amount > 0),
  created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (source_type, source_id, user_id, quota_type));


CREATE FUNCTION quota_period_start(p_period text) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT date_trunc(p_period, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;
CREATE VIEW quota_status AS                        -- what a read sees; never rolls a period by itself
  SELECT t.user_id, t.tier, p.quota_type, p.period, p.limit_amount, quota_period_start(p.period) AS period_start,
         (date_trunc(p.period, now() AT TIME ZONE 'UTC') + ('1 ' || p.period)::interval) AT TIME ZONE 'UTC' AS resets_at,
         CASE WHEN q.period_start = quota_period_start(p.period) THEN q.used ELSE 0 END AS used,
         CASE WHEN q.period_start = quota_period_start(p.period) THEN q.held ELSE 0 END AS held,
         COALESCE(q.bonus, 0) AS bonus, COALESCE(q.tokens_used, 0) AS tokens_used
  FROM user_tiers t JOIN plan_quotas p ON p.tier = t.tier
  LEFT JOIN user_quotas q ON q.user_id = t.user_id AND q.quota_type = p.quota_type;

CREATE FUNCTION quota_reserve(p_user uuid, p_type text, p_amount int, p_subject text, p_attempt text, p_request text DEFAULT NULL)
RETURNS TABLE (reservation_id uuid, remaining int) -- reservation_id NULL: refused. remaining NULL: unlimited
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE q user_quotas; lim int; per text; payer uuid; a int := 0; b int := 0;
BEGIN
  IF p_amount < 1 THEN RAISE EXCEPTION 'amount must be positive'; END IF;
  INSERT INTO user_quotas (user_id, quota_type) VALUES (p_user, p_type) ON CONFLICT DO NOTHING;
  SELECT * INTO STRICT q FROM user_quotas WHERE user_id = p_user AND quota_type = p_type FOR UPDATE;
  SELECT p.limit_amount, p.period INTO STRICT lim, per FROM user_tiers t JOIN plan_quotas p ON p.tier = t.tier
    WHERE t.user_id = p_user AND p.quota_type = p_type;
  IF q.period_start <> quota_period_start(per) THEN
    IF q.used > 0 THEN PERFORM emit_event('quota.reset', p_user, jsonb_build_object('quota_type', p_type, 'used', q.used), 'payments', p_request); END IF;
    q.period_start := quota_period_start(per); q.used := 0; q.held := 0;
  END IF;
  SELECT r.id INTO reservation_id FROM quota_reservations r
    WHERE r.user_id = p_user AND r.quota_type = p_type AND r.attempt_id = p_attempt AND r.state = 'held';
  IF reservation_id IS NULL THEN                   -- an attempt_id used again after settling breaks the unique index: an error, not a gift
    SELECT r.id INTO payer FROM quota_reservations r WHERE r.user_id = p_user AND r.quota_type = p_type AND r.subject = p_subject
      AND r.period_start = q.period_start AND r.covered_by IS NULL AND r.state <> 'refunded';
    IF payer IS NULL THEN
      a := CASE WHEN lim IS NULL THEN p_amount ELSE least(p_amount, greatest(lim - q.used - q.held, 0)) END;
      b := p_amount - a;
    END IF;
    IF b <= q.bonus THEN
      INSERT INTO quota_reservations (user_id, quota_type, period_start, attempt_id, subject, allowance, from_bonus, covered_by)
        VALUES (p_user, p_type, q.period_start, p_attempt, p_subject, a, b, payer) RETURNING id INTO reservation_id;
      q.held := q.held + a; q.bonus := q.bonus - b;
    END IF;
  END IF;
  UPDATE user_quotas SET period_start = q.period_start, used = q.used, held = q.held, bonus = q.bonus
    WHERE user_id = p_user AND quota_type = p_type;
  remaining := CASE WHEN lim IS NOT NULL THEN greatest(lim - q.used - q.held, 0) + q.bonus END;
  IF remaining = 0 AND a + b > 0 AND reservation_id IS NOT NULL THEN
    PERFORM emit_event('quota.depleted', p_user, jsonb_build_object('quota_type', p_type, 'limit', lim), 'payments', p_request);
  END IF;
  RETURN NEXT;
END $$;

CREATE FUNCTION quota_settle(p_id uuid, p_tokens bigint DEFAULT 0) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE r quota_reservations;
BEGIN
  PERFORM 1 FROM user_quotas q JOIN quota_reservations x USING (user_id, quota_type) WHERE x.id = p_id FOR UPDATE OF q;
  UPDATE quota_reservations SET state = 'settled', closed_at = now() WHERE id = p_id AND state = 'held' RETURNING * INTO r;
  IF r.id IS NULL THEN RETURN false; END IF;       -- already settled or refunded: nothing happens twice
  UPDATE user_quotas SET tokens_used = tokens_used + p_tokens,
      held = held - CASE WHEN period_start = r.period_start THEN r.allowance ELSE 0 END,
      used = used + CASE WHEN period_start = r.period_start THEN r.allowance ELSE 0 END
    WHERE user_id = r.user_id AND quota_type = r.quota_type;
  RETURN true;
END $$;

CREATE FUNCTION quota_refund(p_id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE r quota_reservations; heir quota_reservations; was_held boolean;
BEGIN
  PERFORM 1 FROM user_quotas q JOIN quota_reservations x USING (user_id, quota_type) WHERE x.id = p_id FOR UPDATE OF q;
  SELECT * INTO r FROM quota_reservations WHERE id = p_id AND state <> 'refunded';
  IF r.id IS NULL THEN RETURN false; END IF;
  was_held := r.state = 'held';
  UPDATE quota_reservations SET state = 'refunded', closed_at = now() WHERE id = r.id;
  SELECT * INTO heir FROM quota_reservations WHERE covered_by = r.id AND state <> 'refunded' ORDER BY state DESC, created_at, id LIMIT 1;
  IF heir.id IS NULL THEN                          -- nobody else rode on this charge: give it back
    UPDATE user_quotas SET bonus = bonus + r.from_bonus,
        held = held - CASE WHEN was_held AND period_start = r.period_start THEN r.allowance ELSE 0 END,
        used = used - CASE WHEN NOT was_held AND period_start = r.period_start THEN r.allowance ELSE 0 END
      WHERE user_id = r.user_id AND quota_type = r.quota_type;
  ELSE                                             -- the charge passes to a request it was covering
    UPDATE quota_reservations SET covered_by = NULL, allowance = r.allowance, from_bonus = r.from_bonus WHERE id = heir.id;
    UPDATE quota_reservations SET covered_by = heir.id WHERE covered_by = r.id;
    UPDATE user_quotas SET held = held - r.allowance * (was_held::int - (heir.state = 'held')::int),
                           used = used + r.allowance * (was_held::int - (heir.state = 'held')::int)
      WHERE user_id = r.user_id AND quota_type = r.quota_type AND period_start = r.period_start;
  END IF;
  RETURN true;
END $$;

CREATE FUNCTION quota_grant(p_user uuid, p_type text, p_amount int, p_source text, p_source_id text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
  INSERT INTO quota_grants (source_type, source_id, user_id, quota_type, amount)
    VALUES (p_source, p_source_id, p_user, p_type, p_amount) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO user_quotas (user_id, quota_type, bonus) VALUES (p_user, p_type, p_amount)
    ON CONFLICT (user_id, quota_type) DO UPDATE SET bonus = user_quotas.bonus + EXCLUDED.bonus;
  PERFORM emit_event('quota.updated', p_user, jsonb_build_object('quota_type', p_type, 'bonus', p_amount, 'reason', p_source), 'payments');
  RETURN true;
END $$;

CREATE FUNCTION quota_sweep() RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = public AS  -- run every minute by the payments worker
$$ SELECT count(*)::int FROM (SELECT id FROM quota_reservations WHERE state = 'held' AND expires_at < now() ORDER BY id) x WHERE quota_refund(x.id) $$;
