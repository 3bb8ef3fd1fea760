-- The app's plans and price list, as they were on the day the gateway took over. Operators change them by the API.

INSERT INTO plans (plan, document) VALUES
    ('free', '{"plan":"free","displayName":"Free","monthlyCredits":100,"overageRate":0,"pricing":{"monthly":0,"annual":0},"limits":{},"features":[]}'),
    ('starter', '{"plan":"starter","displayName":"Starter","monthlyCredits":1000,"overageRate":0.015,"pricing":{"monthly":19,"annual":190},"limits":{},"features":[]}'),
    ('professional', '{"plan":"professional","displayName":"Professional","monthlyCredits":5000,"overageRate":0.01,"pricing":{"monthly":49,"annual":490},"limits":{},"features":[]}'),
    ('enterprise', '{"plan":"enterprise","displayName":"Enterprise","monthlyCredits":15000,"overageRate":0.005,"pricing":{"monthly":99,"annual":990},"limits":{},"features":[]}');

INSERT INTO event_definitions (event_type, version, document) VALUES
    ('structuring_diagnose', 1,
     '{"eventType":"structuring_diagnose","name":"Problem diagnosis","category":"ai_analysis","baseCredits":10,"complexity":{"min":1,"max":2.5},"features":{"echo":5,"traceback":3},"version":1}'),
    ('structuring_generate_solution', 1,
     '{"eventType":"structuring_generate_solution","name":"Solution generation","category":"ai_analysis","baseCredits":15,"complexity":null,"features":{"echo":5,"traceback":3},"version":1}'),
    ('visuals_planning', 1,
     '{"eventType":"visuals_planning","name":"Visual planning","category":"ai_visual","baseCredits":8,"complexity":null,"features":{},"version":1}'),
    ('visuals_sketch', 1,
     '{"eventType":"visuals_sketch","name":"Visual sketch","category":"ai_visual","baseCredits":12,"complexity":null,"features":{},"version":1}'),
    ('solutioning_image_analysis', 1,
     '{"eventType":"solutioning_image_analysis","name":"Image analysis","category":"ai_analysis","baseCredits":8,"complexity":null,"features":{},"version":1}'),
    ('solutioning_ai_enhance', 1,
     '{"eventType":"solutioning_ai_enhance","name":"Text enhancement","category":"ai_enhancement","baseCredits":12,"complexity":null,"features":{},"version":1}'),
    ('solutioning_structure_solution', 1,
     '{"eventType":"solutioning_structure_solution","name":"Solution structuring","category":"ai_analysis","baseCredits":15,"complexity":null,"features":{},"version":1}'),
    ('solutioning_node_stack', 1,
     '{"eventType":"solutioning_node_stack","name":"Node analysis","category":"ai_analysis","baseCredits":6,"complexity":{"min":1,"max":3},"features":{},"version":1}'),
    ('solutioning_formatting', 1,
     '{"eventType":"solutioning_formatting","name":"Automatic formatting","category":"formatting","baseCredits":5,"complexity":null,"features":{},"version":1}'),
    ('solutioning_hyper_canvas', 1,
     '{"eventType":"solutioning_hyper_canvas","name":"Hyper-canvas","category":"ai_canvas","baseCredits":10,"complexity":null,"features":{},"version":1}'),
    ('push_structuring_to_visuals', 1,
     '{"eventType":"push_structuring_to_visuals","name":"Push from structuring to visuals","category":"data_transfer","baseCredits":3,"complexity":null,"features":{},"version":1}'),
    ('push_visuals_to_solutioning', 1,
     '{"eventType":"push_visuals_to_solutioning","name":"Push from visuals to solutioning","category":"data_transfer","baseCredits":3,"complexity":null,"features":{},"version":1}'),
    ('push_solutioning_to_sow', 1,
     '{"eventType":"push_solutioning_to_sow","name":"Push from solutioning to statement of work","category":"data_transfer","baseCredits":5,"complexity":null,"features":{},"version":1}'),
    ('push_sow_to_loe', 1,
     '{"eventType":"push_sow_to_loe","name":"Push from statement of work to level of effort","category":"data_transfer","baseCredits":5,"complexity":null,"features":{},"version":1}');
