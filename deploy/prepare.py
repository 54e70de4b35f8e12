"""Create the artifact bucket and the workers' user account; existing ones are left alone."""

import os

import boto3
from botocore.exceptions import ClientError
from mlflow.exceptions import RestException
from mlflow.server import get_app_client

BUCKET = "mlflow"
WORKER = "worker"


def make_bucket() -> None:
    store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        store.head_bucket(Bucket=BUCKET)
    except ClientError:
        store.create_bucket(Bucket=BUCKET)


def make_user() -> None:
    server = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    try:
        server.get_user(WORKER)
    except RestException:
        server.create_user(WORKER, os.environ["WORKER_PASSWORD"])


if __name__ == "__main__":
    make_bucket()
    make_user()
    print(f"Bucket {BUCKET} and user {WORKER} are there.")
