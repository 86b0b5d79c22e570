from tests.engine.house import *
import time, cProfile, pstats
def test_smoke(road): road.settle()
def test_smoke2(road):
    p=cProfile.Profile(); t=time.time();c=time.process_time(); p.enable(); s=road.settle(); p.disable(); print(time.time()-t, time.process_time()-c)
    pstats.Stats(p).sort_stats("cumtime").print_stats(45)
