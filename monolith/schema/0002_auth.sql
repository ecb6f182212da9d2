-- Accounts: users, profiles, identities, one-time codes, refresh tokens, referrals.

CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text CHECK (char_length(email) BETWEEN 3 AND 320), password_hash text,
  confirmed boolean NOT NULL DEFAULT false, referral_code text NOT NULL UNIQUE CHECK (referral_code ~ '^[A-Z2-7]{8}$'),
  onboarding_status text NOT NULL DEFAULT 'pending' CHECK (onboarding_status IN ('pending','in_progress','complete')), last_login_at timestamptz,
  deleted_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (email IS NOT NULL OR deleted_at IS NOT NULL));
CREATE UNIQUE INDEX users_email ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE TABLE user_profiles (user_id uuid PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE, name text CHECK (char_length(name) <= 80), avatar_media_id uuid,
  phone text, country char(2), language text NOT NULL DEFAULT 'en', birth_year smallint, preferences jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE auth_identities (provider text NOT NULL CHECK (provider IN ('supabase','clerk','google','apple','facebook')), external_id text NOT NULL,
  user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (provider, external_id));
CREATE INDEX auth_identities_user ON auth_identities (user_id);
CREATE TABLE otp_codes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE, code_hash text NOT NULL,
  attempts smallint NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 5), expires_at timestamptz NOT NULL, used_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX otp_codes_live ON otp_codes (user_id) WHERE used_at IS NULL;
CREATE TABLE refresh_tokens (token_hash text PRIMARY KEY, family_id uuid NOT NULL, user_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  expires_at timestamptz NOT NULL, rotated_at timestamptz, revoked_at timestamptz, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id); CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE TABLE referrals (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), referrer_id uuid NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  referee_id uuid NOT NULL UNIQUE REFERENCES users(id) ON DELETE CASCADE, status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending','confirmed')),
  created_at timestamptz NOT NULL DEFAULT now(), confirmed_at timestamptz, CHECK (referrer_id <> referee_id));
CREATE INDEX referrals_referrer ON referrals (referrer_id);
