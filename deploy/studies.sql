-- Optuna's studies have a database of their own: its migrations and MLflow's keep their version in tables of one name.
CREATE DATABASE studies;
