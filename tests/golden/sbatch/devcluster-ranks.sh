#!/bin/bash

# Parameters
#SBATCH --array=0-19%20
#SBATCH --chdir=/home/lea/affect
#SBATCH --cpus-per-task=10
#SBATCH --gres=gpu:v100:4
#SBATCH --job-name=hs-trial-000-0-0a1b2c3d
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --open-mode=append
#SBATCH --output=/home/lea/affect/sweeps/trial/logs/%A_%a_0_log.out
#SBATCH --partition=v100
#SBATCH --requeue
#SBATCH --signal=USR2@300
#SBATCH --time=1200

# setup
export PYTHONPATH=/home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.zip:/home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.zip/src${PYTHONPATH:+:$PYTHONPATH}
[ ! -e /home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.env.sh ] || source /home/lea/affect/sweeps/trial/code/c0dec0dec0dec0de.env.sh

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /home/lea/affect/sweeps/trial/logs/%A_%a_%t_log.out --cpus-per-task=10 --kill-on-bad-exit=1 --wait=60 /home/lea/affect/.venv/bin/python -P -u -m hpc_sweep.worker /home/lea/affect/sweeps/trial 0 0
